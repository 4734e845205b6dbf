"""One-pass models in the report: their rows beside the runs, the ratio of two times, and what is only quoted."""

import csv
import io

import pytest

from rediffuse.files import read_json
from rediffuse.formats import write_json
from rediffuse.reporting.chapters import one_pass
from rediffuse.reporting.experiments.cells import make_cells
from rediffuse.reporting.read.frames import Frames, read_frames
from rediffuse.reporting.read.timings import Timings, read_timings
from rediffuse.reporting.render.table import Table
from tests.reporting.study_tree import StudyTree


def frames_of(tree: StudyTree) -> Frames:
    return read_frames(tree.loaded, tree.root, tree.plan)


def clock_of(tree: StudyTree) -> Timings:
    return read_timings(tree.loaded, tree.plan, tree.root)


def rows(table: Table | None) -> list[dict[str, str]]:
    assert table is not None
    return list(csv.DictReader(io.StringIO(table.csv())))


def test_every_one_pass_model_stands_beside_each_step_count_of_the_first_sampler(tree: StudyTree):
    frames = frames_of(tree)
    found = rows(one_pass.table(frames, make_cells(frames.measured())))
    assert [(row["Model"], row["Steps"]) for row in found] == [
        ("DCGAN", "1"),
        ("WGAN-GP", "1"),
        ("VAE", "1"),
        ("DDPM", "50"),
        ("DDPM", "5"),
        ("Improved DDPM", "50"),
        ("Improved DDPM", "5"),
    ]
    dcgan = found[0]
    assert dcgan["Fréchet distance (lower is better)"] == "400.0"
    assert (dcgan["Parameters"], dcgan["Steps"]) == ("4000", "1")
    dcgan = rows(one_pass.cost(frames, clock_of(tree)))[0]
    # 0.1 ms an image in the tree.
    assert (dcgan["Images per second"], dcgan["Training (s)"]) == ("10000", "20.50")


def test_the_parameters_of_what_trains_are_more_than_those_that_make_images(tree: StudyTree):
    found = {row["Model"]: row for row in rows(one_pass.models(frames_of(tree)))}
    assert (found["VAE"]["Parameters that make images"], found["VAE"]["Parameters trained"]) == ("4000", "9000")


def test_the_table_has_the_metrics_that_runs_are_compared_by_and_no_others(tree: StudyTree):
    frames = frames_of(tree)
    found = rows(one_pass.table(frames, make_cells(frames.measured())))[0]
    names = [name.removesuffix(" is better)") for name in found if name.endswith("is better)")]
    assert names == ["Fréchet distance (lower", "Kernel distance (lower", "IS formula (higher"]


def test_only_a_vae_has_a_bound(tree: StudyTree):
    frames = frames_of(tree)
    found = {
        row["Model"]: row["Bound (bits/dim)"] for row in rows(one_pass.table(frames, make_cells(frames.measured())))
    }
    assert (found["VAE"], found["DCGAN"], found["WGAN-GP"]) == ("4.500", "—", "—")


def test_every_row_of_the_tables_leads_to_its_files(tree: StudyTree):
    frames, clock = frames_of(tree), clock_of(tree)
    paths = {source.id: path for path, source in frames.pedigree.sources.items()}
    paths |= {one.id: path for path, one in clock.taken.items()}
    for row in rows(one_pass.table(frames, make_cells(frames.measured()))):
        assert sum("metrics/" in paths[name] for name in row["From"].split()) == 1
    for row in rows(one_pass.cost(frames, clock)):
        assert ["timing/" in paths[name] for name in row["From"].split()] == [True, True]


def test_the_ratio_is_that_of_the_times_of_an_image(tree: StudyTree):
    found = {(row["Run"], row["Steps"]): row for row in rows(one_pass.latency(frames_of(tree), clock_of(tree)))}
    # The tree's DDPM takes 0.1 · 50 / 1.08 ms an image with 50 steps, each one-pass model 0.1 ms.
    assert float(found["DDPM", "50"]["× DCGAN"]) == pytest.approx(50 / 1.08, rel=1e-3)
    assert float(found["DDPM", "5"]["× VAE"]) == pytest.approx(5 / 1.08, rel=1e-3)


@pytest.mark.parametrize("change", [{"machine": {"threads": 2}}, {"batch_size": 1}])
def test_times_that_were_not_taken_alike_have_no_ratio(tree: StudyTree, change: dict):
    path = tree.folder("dcgan") / "timing" / "sample.json"
    record = read_json(path)
    record["machine"].update(change.get("machine", {}))
    record["settings"]["one-pass-1"].update({k: v for k, v in change.items() if k != "machine"})
    write_json(path, record)
    assert {row["× DCGAN"] for row in rows(one_pass.latency(frames_of(tree), clock_of(tree)))} == {"not comparable"}
    assert "DCGAN" not in one_pass.latency_sentence(frames_of(tree), clock_of(tree))


def test_quoted_rows_are_marked_and_have_no_pedigree():
    found = rows(one_pass.quoted())
    assert {row["State here"] for row in found} == {"quoted, not run"}
    assert "From" not in found[0]
    assert "PGAN" in {row["Model"] for row in found}


def test_sizes_beside_the_quoted_ones_are_those_of_the_published_networks():
    """PyTorch's DCGAN tutorial has 3,576,704 + 2,765,568 parameters, google/ddpm-cifar10-32 35,746,307."""
    found = {row["Model"]: row for row in rows(one_pass.quoted())}
    ours, making = "Ours, trained (millions)", "of which make images (millions)"
    assert (float(found["DCGAN"][ours]), float(found["DCGAN"][making])) == (6.342, 3.577)
    assert float(found["DDPM"][ours]) == float(found["DDPM"][making]) == 35.75
    assert found["PGAN"][ours] == "—"


def test_without_results_the_figures_are_absent_and_the_table_says_not_run(tmp_path, tree: StudyTree):
    empty = read_frames(tree.loaded, tmp_path / "elsewhere", tree.plan)
    assert one_pass.losses(empty) is None
    assert one_pass.samples(empty, {}) is None
    assert {row["Fréchet distance (lower is better)"] for row in rows(one_pass.table(empty, {}))} == {"not run"}
