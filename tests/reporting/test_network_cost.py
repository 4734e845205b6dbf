"""The cost section: what it predicts, what it compares with the clock, and what it says when nothing was measured."""

import json
from dataclasses import replace

import pytest

from rediffuse.reporting.chapters import network_cost
from rediffuse.reporting.read.frames import Frames, read_frames
from rediffuse.reporting.read.timings import Timings, read_timings
from rediffuse.reporting.render.table import Table
from rediffuse.reporting.terms import diffusion_runs
from rediffuse.reporting.values import NOT_RECORDED, Estimate
from rediffuse.runs import facts
from tests.reporting.study_tree import StudyTree


def frames_of(tree: StudyTree) -> Frames:
    return read_frames(tree.loaded, tree.root, tree.plan)


def clock_of(tree: StudyTree) -> Timings:
    return read_timings(tree.loaded, tree.plan, tree.root)


def rows(table: Table | None) -> list[dict[str, object]]:
    assert table is not None
    return [dict(zip((column.title for column in table.columns), row, strict=True)) for row in table.rows]


def test_training_is_predicted_from_the_passes_and_set_against_the_clock(tree: StudyTree) -> None:
    found = next(row for row in rows(network_cost.model(frames_of(tree), clock_of(tree))) if row["What"] == "training")
    # 60 steps of (0.02 s forward) x (1 + 2.5); the fixture's training took 250.5 s.
    assert found["Predicted (s)"] == pytest.approx(60 * 0.02 * 3.5, rel=1e-12)
    assert found["Measured / predicted"] == pytest.approx(250.5 / (60 * 0.02 * 3.5), rel=1e-12)
    assert isinstance(found["κ"], Estimate)


def test_sampling_is_predicted_for_as_many_images_as_were_timed(tree: StudyTree) -> None:
    found = next(
        row for row in rows(network_cost.model(frames_of(tree), clock_of(tree))) if row["What"] == "DDIM, 5 steps"
    )
    assert found["Predicted (s)"] == pytest.approx(5 * 0.01 * 1080 / 16, rel=1e-12)
    assert found["Measured (s)"] == pytest.approx(0.5, rel=1e-12)


def test_latency_is_measured_where_the_study_samples_and_predicted_elsewhere(tree: StudyTree) -> None:
    of_baseline = [row for row in rows(network_cost.latency(frames_of(tree), clock_of(tree))) if row["Run"] == "DDPM"]
    how = {row["Steps"]: row["How"] for row in of_baseline}
    assert how == {
        10: "measured, DDIM, 10 steps",
        50: "measured, Ancestral, 50 steps",
        100: "predicted",
        500: "predicted",
        1000: "predicted",
    }
    thousand = of_baseline[-1]
    # A batch of 16 took 0.01 s; the study samples 40 images at once.
    assert thousand["One batch (s)"] == pytest.approx(1000 * 0.01 * 40 / 16, rel=1e-12)
    assert thousand["One image (s)"] == pytest.approx(1000 * 0.01 / 16, rel=1e-12)


def test_without_the_clock_the_exact_counts_stand_and_times_are_not_recorded(tree: StudyTree) -> None:
    (tree.root / "runs" / tree.name / "cost" / "timing" / "cost.json").unlink()
    frames = frames_of(tree)
    assert len(rows(network_cost.configurations(frames))) == len(diffusion_runs(tree.loaded)) + 1
    assert network_cost.batches(frames, clock_of(tree)) is None
    assert network_cost.checkpointing(frames, clock_of(tree)) is None
    training = next(row for row in rows(network_cost.model(frames, clock_of(tree))) if row["What"] == "training")
    assert (training["Predicted (s)"], training["Measured (s)"]) == (NOT_RECORDED, 250.5)


def test_the_growth_of_cost_ends_in_its_exponents(tree: StudyTree) -> None:
    *_, exponents = rows(network_cost.resolution(frames_of(tree)))
    assert exponents["Convolutions (GFLOP)"] == pytest.approx(1, rel=1e-12)
    assert exponents["Linear layers of attention (GFLOP)"] == pytest.approx(1, rel=1e-12)
    assert exponents["Products of attention (GFLOP)"] == pytest.approx(2, rel=1e-12)


def test_guidance_shows_the_network_every_image_twice_a_step(tree: StudyTree) -> None:
    run = tree.loaded.runs["improved"]
    samplers = {"ddim": run.sampling.samplers["ddim"].model_copy(update={"guidance": 2.0})}
    guided = run.model_copy(
        update={
            "network": facts.unet(run).model_copy(update={"class_conditional": True}),
            "sampling": run.sampling.model_copy(update={"samplers": samplers}),
        }
    )
    frames = frames_of(tree)
    frames = replace(frames, loaded=frames.loaded._replace(runs={"improved": guided}))
    found = next(
        row for row in rows(network_cost.model(frames, clock_of(tree))) if row["What"] == "DDIM (guidance 2), 5 steps"
    )
    assert found["N or S"] == 10


def test_the_sizes_of_one_design_stand_in_order(tree: StudyTree) -> None:
    frames = frames_of(tree)
    assert frames.cost is not None
    entry = frames.cost["presets"]["tiny"]
    sizes = {"base": 3, "large": 4, "small": 2, "tiny": 1}  # as a file sorts them
    presets = {name: {**entry, "parameters": size} for name, size in sizes.items()}
    found = rows(network_cost.configurations(replace(frames, cost={**frames.cost, "presets": presets})))
    names = [str(row["Network"]) for row in found if str(row["Network"]).startswith("preset")]
    assert names == ["preset tiny", "preset small", "preset base", "preset large"]


def test_nothing_measured_gives_no_section(empty_tree: StudyTree) -> None:
    frames, clock = frames_of(empty_tree), clock_of(empty_tree)
    assert network_cost.words(frames) == ""
    assert network_cost.configurations(frames) is network_cost.model(frames, clock) is None
    assert network_cost.latency(frames, clock) is None
    assert network_cost.resolution_figure(frames) is None


def test_the_exact_counts_hold_no_time(tree: StudyTree) -> None:
    record = json.loads((tree.root / "runs" / tree.name / "cost" / "cost.json").read_text())
    assert not [key for entry in record["runs"].values() for key in entry if "second" in key or "time" in key]
