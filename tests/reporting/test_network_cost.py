"""The cost section: what it predicts, what it compares with the clock, and what it says when nothing was measured."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rediffuse.config import load_study
from rediffuse.cost.exact import exact_cost
from rediffuse.models.presets import PRESETS
from rediffuse.reporting.chapters import network_cost, network_savings, network_times
from rediffuse.reporting.read.frames import Frames, read_frames
from rediffuse.reporting.read.timings import Timings, read_timings
from rediffuse.reporting.render.blocks import Bullets
from rediffuse.reporting.render.table import Table
from rediffuse.reporting.terms import diffusion_runs
from rediffuse.reporting.values import NOT_RECORDED, Estimate
from rediffuse.runs import facts
from tests.reporting.study_tree import PROJECT, StudyTree

SMOKE = PROJECT / "studies" / "smoke.yaml"


def frames_of(tree: StudyTree) -> Frames:
    return read_frames(tree.loaded, tree.root, tree.plan)


def clock_of(tree: StudyTree) -> Timings:
    return read_timings(tree.loaded, tree.plan, tree.root)


def rows(table: Table | None) -> list[dict[str, object]]:
    assert table is not None
    return [dict(zip((column.title for column in table.columns), row, strict=True)) for row in table.rows]


def test_training_is_predicted_from_the_passes_and_set_against_the_clock(tree: StudyTree) -> None:
    found = next(row for row in rows(network_times.model(frames_of(tree), clock_of(tree))) if row["What"] == "training")
    # 60 steps of (0.02 s forward) x (1 + 2.5); the fixture's training took 250.5 s.
    assert found["Predicted (s)"] == pytest.approx(60 * 0.02 * 3.5, rel=1e-12)
    assert found["Measured / predicted"] == pytest.approx(250.5 / (60 * 0.02 * 3.5), rel=1e-12)
    assert isinstance(found["κ"], Estimate)


def test_sampling_is_predicted_for_as_many_images_as_were_timed(tree: StudyTree) -> None:
    found = next(
        row for row in rows(network_times.model(frames_of(tree), clock_of(tree))) if row["What"] == "DDIM, 5 steps"
    )
    assert found["Predicted (s)"] == pytest.approx(5 * 0.01 * 1080 / 16, rel=1e-12)
    assert found["Measured (s)"] == pytest.approx(0.5, rel=1e-12)


def test_latency_is_measured_where_the_study_samples_and_predicted_elsewhere(tree: StudyTree) -> None:
    of_baseline = [row for row in rows(network_times.latency(frames_of(tree), clock_of(tree))) if row["Run"] == "DDPM"]
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
    # The runs', two smaller networks and a preset.
    assert len(rows(network_cost.configurations(frames))) == len(diffusion_runs(tree.loaded)) + 3
    assert network_times.batches(frames, clock_of(tree)) is None
    assert network_savings.checkpointing(frames, clock_of(tree)) is None
    training = next(row for row in rows(network_times.model(frames, clock_of(tree))) if row["What"] == "training")
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
        row for row in rows(network_times.model(frames, clock_of(tree))) if row["What"] == "DDIM (guidance 2), 5 steps"
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


def test_memory_of_training_is_five_numbers_a_parameter_and_the_activations_of_all_images(tree: StudyTree) -> None:
    found = rows(network_cost.configurations(frames_of(tree)))[0]
    cost = exact_cost(PRESETS["micro-digits"])
    assert found["Training on 32 images (MiB)"] == (20 * cost.parameters + 32 * cost.activation_bytes) / 2**20
    assert found["Sampling one image (MiB)"] == (4 * cost.parameters + cost.sampling_bytes) / 2**20


def with_presets(tree: StudyTree, **changed: dict[str, object]) -> Frames:
    """The tree's counts with presets of these names, each the one of the tree with some fields changed."""
    frames = frames_of(tree)
    assert frames.cost is not None
    entry = frames.cost["presets"]["tiny"]
    presets = {name.replace("_", "-"): {**entry, **fields} for name, fields in changed.items()}
    return replace(frames, cost={**frames.cost, "presets": presets})


def test_lighter_blocks_are_judged_by_what_is_hoped_of_them(tree: StudyTree) -> None:
    state = {"parameters": 400, "gradients": 400, "adam": 800, "ema": 400}
    base = {"parameters": 100, "state_bytes": state, "activation_bytes": 1000, "sampling_bytes": 100}
    tenth = {key: value // 10 for key, value in state.items()}
    # Training: 2,000 + 32 × 1,000 bytes against 200 + 32 × 500, which is 1 − 16,200/34,000 = 52.4 % less.
    light = {"parameters": 10, "state_bytes": tenth, "activation_bytes": 500, "sampling_bytes": 100}
    bullets = network_cost.light(with_presets(tree, base=base, light_cifar10=light))
    assert isinstance(bullets, Bullets)
    said = " ".join(bullets.texts)
    assert "saves 90.0 % of the parameters (holds)" in said
    assert "52.4 % of the memory of training on 32 images (does not hold)" in said
    assert "72.0 % of the memory of sampling one image (holds)" in said


def test_the_printed_sizes_stand_beside_the_counted_ones(tree: StudyTree) -> None:
    entry = {"config": {"channels": 10, "multipliers": [1, 2, 3]}, "parameters": 100_000}
    presets = with_presets(tree, d4_tiny=entry, d4_light=entry, d4_base=entry, d4_large=entry)
    found = rows(network_cost.printed(presets))[0]
    assert (found["Parameters as printed there"], found["Printed / here"]) == (461_729, 4.61729)
    # Two transposed 4×4 convolutions of 20 and 30 channels hold 16c² weights instead of 9c².
    assert found["With transposed 4×4 convolutions"] == 100_000 + 7 * (20**2 + 30**2)
    assert network_cost.printed(frames_of(tree)) is None


def test_a_change_is_a_gain_only_where_its_interval_says_so(tree: StudyTree) -> None:
    said, table = network_savings.gains(frames_of(tree), clock_of(tree))
    assert "faster: half the width (3.00 times as fast)" in said
    assert "slower: bfloat16 autocast" in said
    assert "not told apart: 16 images at once" in said
    assert rows(table)[-1]["Sampling (times as fast)"] == "there is no C++ compiler"


def test_latencies_as_printed_stand_beside_ours_with_their_conditions(tree: StudyTree) -> None:
    found = rows(network_times.quoted(frames_of(tree), clock_of(tree)))
    assert [row["Steps"] for row in found[:3]] == [50, 100, 1000]
    assert [row["One image (s)"] for row in found if row["Whose"] == "D1, table 5"] == [8.52, 2.15, 0.88, 0.45]
    assert all(row["Conditions"] for row in found)


def test_on_a_gpu_the_latencies_stand_by_its_name_and_the_clock_by_what_it_held(tree: StudyTree, tmp_path: Path):
    of_gpu = tmp_path / "gpu.yaml"
    of_gpu.write_text(SMOKE.read_text().replace("device: cpu", "device: cuda"))
    frames, clock = replace(frames_of(tree), loaded=load_study(of_gpu)), clock_of(tree)
    assert clock.cost is not None
    machine = {"cpu": "Test CPU", "device": "Test GPU", "threads": 4}
    shared = {path: replace(one, machine={**one.machine, "at_once": 3}) for path, one in clock.taken.items()}
    clock = replace(clock, cost={**clock.cost, "machine": machine}, taken=shared)

    assert rows(network_times.quoted(frames, clock))[0]["Conditions"] == "Test GPU"
    table, on_cpu = network_times.model(frames, clock), network_times.model(frames_of(tree), clock_of(tree))
    assert table is not None
    assert on_cpu is not None
    assert ["one by one" in note or "shared the GPU" in note for note in table.notes] == [False, True, True]
    assert on_cpu.notes == table.notes[:1]


def test_what_was_timed_of_a_network_as_written_says_so_where_the_study_has_another(tree: StudyTree, tmp_path: Path):
    compiled = tmp_path / "compiled.yaml"
    compiled.write_text(SMOKE.read_text().replace("device: cpu", "device: cpu\n  compile: true"))
    for frames, said in ((frames_of(tree), False), (replace(frames_of(tree), loaded=load_study(compiled)), True)):
        for of in (network_times.batches, *(getattr(network_savings, name) for name in ("checkpointing", "operators"))):
            table = of(frames, clock_of(tree))
            assert table is not None
            assert any("not compiled" in note for note in table.notes) == said


def test_checkpointing_sets_memory_saved_against_time_paid_for_every_run(tree: StudyTree) -> None:
    found = rows(network_savings.checkpointing(frames_of(tree), clock_of(tree)))
    assert len(found) == len(diffusion_runs(tree.loaded))
    # 0.02 + 0.085 s against 0.02 + 0.05 s.
    assert found[0]["More time (%)"] == pytest.approx(50, rel=1e-12)


def test_nothing_measured_gives_no_section(empty_tree: StudyTree) -> None:
    frames, clock = frames_of(empty_tree), clock_of(empty_tree)
    assert network_times.words(frames) == ""
    assert network_cost.configurations(frames) is network_times.model(frames, clock) is None
    assert network_times.latency(frames, clock) is None
    assert network_cost.resolution_figure(frames) is None


def test_the_exact_counts_hold_no_time(tree: StudyTree) -> None:
    record = json.loads((tree.root / "runs" / tree.name / "cost" / "cost.json").read_text())
    assert not [key for entry in record["runs"].values() for key in entry if "second" in key or "time" in key]
