"""One-pass models in the report: their rows beside the runs, the ratio of two times, and what is only quoted."""

import csv
import io

import pytest

from rediffuse.files import read_json
from rediffuse.formats import write_json
from rediffuse.reporting.chapters import one_pass, one_pass_figures
from rediffuse.reporting.experiments.cells import make_cells
from rediffuse.reporting.read.frames import Frames, read_frames
from rediffuse.reporting.render.table import Table
from tests.reporting.study_tree import StudyTree


def frames_of(tree: StudyTree) -> Frames:
    return read_frames(tree.loaded, tree.root)


def rows(table: Table | None) -> list[dict[str, str]]:
    assert table is not None
    return list(csv.DictReader(io.StringIO(table.csv())))


def test_every_one_pass_model_stands_beside_each_step_count_of_the_first_sampler(tree: StudyTree):
    frames = frames_of(tree)
    found = rows(one_pass.table(frames, make_cells(frames.measured())))
    assert [(row["Model"], row["Steps"]) for row in found] == [
        ("DCGAN", "1"), ("WGAN-GP", "1"), ("VAE", "1"), ("DDPM", "50"), ("DDPM", "5"),
        ("Improved DDPM", "50"), ("Improved DDPM", "5"),
    ]  # fmt: skip
    dcgan = found[0]
    assert dcgan["Fréchet distance (lower is better)"] == "400.0"
    # 0.1 ms an image in the tree.
    assert dcgan["Images per second"] == "10000"
    assert (dcgan["Parameters"], dcgan["Training (s)"], dcgan["Steps"]) == ("4000", "20.50", "1")


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
    frames = frames_of(tree)
    paths = {source.id: path for path, source in frames.pedigree.sources.items()}
    for row in rows(one_pass.table(frames, make_cells(frames.measured()))):
        made = [paths[name] for name in row["From"].split()]
        assert sum("metrics/" in path for path in made) == 1
        assert sum("timing/" in path for path in made) == 2


def test_the_ratio_is_that_of_the_times_of_an_image(tree: StudyTree):
    found = {(row["Run"], row["Steps"]): row for row in rows(one_pass.latency(frames_of(tree)))}
    # The tree's DDPM takes 0.1 · 50 / 1.08 ms an image with 50 steps, each one-pass model 0.1 ms.
    assert float(found["DDPM", "50"]["× DCGAN"]) == pytest.approx(50 / 1.08, rel=1e-3)
    assert float(found["DDPM", "5"]["× VAE"]) == pytest.approx(5 / 1.08, rel=1e-3)


@pytest.mark.parametrize("change", [{"machine": {"threads": 2}}, {"batch_size": 1}])
def test_times_that_were_not_taken_alike_have_no_ratio(tree: StudyTree, change: dict):
    path = tree.folder("dcgan") / "timing" / "draw.json"
    record = read_json(path)
    record["machine"].update(change.get("machine", {}))
    record["settings"]["one-pass-1"].update({k: v for k, v in change.items() if k != "machine"})
    write_json(path, record)
    assert {row["× DCGAN"] for row in rows(one_pass.latency(frames_of(tree)))} == {"not comparable"}
    assert "DCGAN" not in one_pass.latency_sentence(frames_of(tree))


def test_quoted_rows_are_marked_and_have_no_pedigree():
    found = rows(one_pass.quoted())
    assert {row["State here"] for row in found} == {"quoted, not run"}
    assert "From" not in found[0]
    assert "PGAN" in {row["Model"] for row in found}


def test_without_results_the_figures_are_absent_and_the_table_says_not_run(tmp_path, tree: StudyTree):
    empty = read_frames(tree.loaded, tmp_path / "elsewhere")
    assert one_pass_figures.losses(empty) is None
    assert one_pass_figures.samples(empty, {}) is None
    assert {row["Fréchet distance (lower is better)"] for row in rows(one_pass.table(empty, {}))} == {"not run"}
