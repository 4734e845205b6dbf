"""The section on fidelity, variety and memorisation, of files with made-up images and what really follows from them."""

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from rediffuse.errors import UserError
from rediffuse.formats import write_json
from rediffuse.reporting.chapters import classes, fidelity, memorisation, sample_count
from rediffuse.reporting.experiments.cells import make_cells
from rediffuse.reporting.read.frames import Frames, read_frames
from rediffuse.reporting.render.picture import styled
from rediffuse.reporting.render.table import Table
from tests.reporting.study_tree import PROJECT, StudyTree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> StudyTree:
    return StudyTree(tmp_path_factory.mktemp("examined"), PROJECT / "studies" / "smoke.yaml").everything()


@pytest.fixture(scope="module")
def frames(tree: StudyTree) -> Frames:
    return read_frames(tree.loaded, tree.root, tree.plan)


MODELS = ("DDPM", "Improved DDPM", "DCGAN", "WGAN-GP", "VAE")


def rows(table: Table | str | None) -> list[dict[str, str]]:
    assert isinstance(table, Table)
    return list(csv.DictReader(io.StringIO(table.csv())))


def record(tree: StudyTree, run: str = "improved") -> dict:
    return json.loads((tree.folder(run) / "examination" / "examination.json").read_text())


def test_every_model_stands_beside_real_images_in_fidelity_and_variety(frames: Frames):
    found = rows(fidelity.table(frames, make_cells(frames.measured())))
    assert [(row["Model"], row["Steps"]) for row in found] == [
        ("DDPM", "50"),
        ("DDPM", "5"),
        ("Improved DDPM", "50"),
        ("Improved DDPM", "5"),
        ("DCGAN", "1"),
        ("WGAN-GP", "1"),
        ("VAE", "1"),
        ("held-out real images", "—"),
        ("uniform noise", "—"),
    ]
    # The tree gives 40 / (40 + distance), and held-out images a distance of 90.
    assert float(found[-2]["Precision (higher is better)"]) == pytest.approx(40 / 130, rel=1e-3)


def test_the_share_of_bias_is_what_the_distance_exceeds_the_extrapolated_one_by(tree: StudyTree, frames: Frames):
    row = next(row for row in rows(sample_count.table(frames)) if row["Images"] == "Improved DDPM")
    counts = record(tree)["by_count"]["samples"]
    value, total, at_ten = counts["extrapolation"]["value"], counts["counts"][-1], counts["counts"][0]
    assert float(row["Extrapolated to n = ∞"]) == pytest.approx(value, rel=1e-3, abs=0.5)  # decimals of its interval
    assert float(row["Bias of that (%)"]) == pytest.approx(100 * (1 - value / total["value"]), rel=1e-3)
    assert float(row["At 10 images"]) == pytest.approx(at_ten["value"], rel=1e-3, abs=0.5)
    assert float(row["Bias of it (%)"]) == pytest.approx(100 * (1 - value / at_ten["value"]), rel=1e-3)


def test_fewer_images_than_dimensions_are_said_to_spoil_the_line(tree: StudyTree, frames: Frames):
    curve = sample_count.curves(frames)[0]
    assert curve.record["images"] > curve.record["dimension"]
    few = curve._replace(record={**curve.record, "dimension": 1280})
    assert "dimensions" not in sample_count.doubt(curve)
    assert "n ≤ 1280 dimensions" in sample_count.doubt(few)


def test_a_bend_beyond_a_few_hundredths_is_said_to_spoil_the_line(frames: Frames):
    curve = sample_count.curves(frames)[0]
    for curvature, spoilt in ((0.02, False), (0.2, True)):
        line = {**curve.record["extrapolation"], "curvature": curvature}
        bent = curve._replace(record={**curve.record, "extrapolation": line})
        assert ("curve away" in sample_count.doubt(bent)) == spoilt


def test_memorisation_shows_both_spaces_of_every_model(tree: StudyTree, frames: Frames):
    found = rows(memorisation.table(frames))
    assert [(row["Model"], row["Space"]) for row in found] == [
        (model, space) for model in MODELS for space in ("pixels", "features")
    ]
    scores = record(tree)["memorisation"]["pixels"]
    assert float(found[2]["Ratio"]) == pytest.approx(scores["ratio"], rel=1e-3)
    assert found[2]["Samples"] == "40"
    assert found[2]["Held-out images"] == "24"


def test_a_run_that_copies_is_named(tree: StudyTree, frames: Frames):
    assert "No model's samples lie clearly nearer" in memorisation.words(frames)
    path = tree.folder("baseline") / "examination" / "examination.json"
    kept = path.read_text()
    changed = json.loads(kept)
    changed["memorisation"]["features"]["z"] = -9.5
    write_json(path, changed)
    try:
        text = memorisation.words(read_frames(tree.loaded, tree.root, tree.plan))
    finally:
        path.write_text(kept)
    assert text.startswith(
        "Clearly nearer (z below −3) to the training images than held-out images are: DDPM in features (z = -9.50). "
        "That alone is no copying, as smooth images lie nearer to all others: 0 of 40 samples of DDPM are nearly equal "
        "to a training"
    )


def test_training_seeds_of_a_model_are_told_together(frames: Frames, monkeypatch: pytest.MonkeyPatch):
    (run, *_), *_ = memorisation.examined(frames)
    made = [(run, seed, {"memorisation": {"pixels": {"z": z}}}, "file") for seed, z in enumerate((4.0, 5.0, 1.0))]
    monkeypatch.setattr(memorisation, "examined", lambda frames: made)
    assert "Clearly farther: DDPM in pixels (z = 4.00 to 5.00, 2 of 3 seeds);" in memorisation.words(frames)


def test_the_line_of_real_images_is_said_once_before_what_each_model_has(frames: Frames):
    text = fidelity.words(frames, make_cells(frames.measured()))
    line, *models = text.split("; ")
    assert line.startswith("20 held-out real images have precision 0.")
    assert " (noise: 0" in line
    assert len(models) == len(MODELS)
    assert "real images" not in "; ".join(models)


def test_duplicates_end_with_the_line_of_real_images(frames: Frames):
    found = rows(memorisation.duplicates(frames))
    assert [row["Images"] for row in found] == [*MODELS, "held-out real images"]
    # Images of noise have no duplicates.
    assert {row["Equal to a training image"] for row in found} == {"0"}


def test_the_classes_of_each_run_add_up_to_its_images(frames: Frames):
    found = rows(classes.table(frames))
    assert [(row["Images"], row["n"]) for row in found] == [
        *((model, "40") for model in MODELS),
        ("held-out real images", "24"),
    ]
    assert all(sum(int(row[f"“{name}”"]) for name in range(10)) == int(row["n"]) for row in found)


def test_every_row_leads_to_its_file(frames: Frames):
    paths = {source.id: path for path, source in frames.pedigree.sources.items()}
    for table in (
        sample_count.table(frames),
        memorisation.table(frames),
        memorisation.duplicates(frames),
        classes.table(frames),
    ):
        assert all(paths[row["From"]].endswith("examination/examination.json") for row in rows(table))


def test_images_without_the_files_they_show_have_no_figure(tree: StudyTree, frames: Frames):
    with styled():
        assert memorisation.figure(frames) is not None
        path = tree.root / "data" / "smoke" / "images.npy"
        path.rename(path.with_suffix(".kept"))
        try:
            assert memorisation.figure(frames) is None
        finally:
            path.with_suffix(".kept").rename(path)


def test_nothing_examined_gives_no_section(empty_tree: StudyTree):
    frames = read_frames(empty_tree.loaded, empty_tree.root, empty_tree.plan)
    assert sample_count.words(frames) == memorisation.words(frames) == ""
    assert sample_count.table(frames) is memorisation.table(frames) is classes.table(frames) is None


def test_a_damaged_examination_is_named(tree: StudyTree, frames: Frames):
    path = tree.folder("baseline") / "examination" / "examination.json"
    kept = path.read_text()
    path.write_text("{}")
    try:
        with pytest.raises(UserError, match=r"examination\.json: lacks by_class"):
            memorisation.table(frames)
    finally:
        path.write_text(kept)


def test_one_pass_models_stand_in_the_figures_beside_the_runs(frames: Frames):
    names = {curve.label: curve.one_pass for curve in sample_count.curves(frames)}
    assert names == {label: label in ("DCGAN", "WGAN-GP", "VAE") for label in (*MODELS, "held-out real images")}
    with styled():
        pictures = [memorisation.figure(frames), classes.figure(frames), sample_count.figure(frames)]
    drawn = {picture.name: picture for picture in pictures if picture is not None}
    assert list(drawn) == ["neighbours", "classes", "sample-count"]
    assert "One-pass models stand below the runs" in drawn["classes"].caption


def test_classes_that_a_model_never_shows_are_named(tree: StudyTree, frames: Frames):
    path = tree.folder("dcgan") / "examination" / "examination.json"
    kept = path.read_text()
    changed = json.loads(kept)
    shares = changed["classes"]["samples"]
    shares["counts"], shares["effective"] = [0, 0, 40, *[0] * 7], 1.0
    write_json(path, changed)
    try:
        text = classes.words(read_frames(tree.loaded, tree.root, tree.plan))
    finally:
        path.write_text(kept)
    assert "with DCGAN “0”, “1”, “3”, “4”, “5”, “6”, “7”, “8” and “9”" in text
    assert "The least even are those of DCGAN: 1.00 classes in effect" in text


def with_lpips(tree: StudyTree, folder: Path) -> StudyTree:
    """The same files in a study that asks for LPIPS."""
    study = yaml.safe_load((PROJECT / "studies" / "smoke.yaml").read_text())
    study["evaluation"]["lpips"] = {
        **{"weights": "alex.pth", "heads": "lin.pth", "size": 64},
        **dict.fromkeys(("weights_sha256", "heads_sha256"), "ab" * 32),
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    other = StudyTree(folder, folder / "study.yaml")
    other.root = tree.root
    return other


def test_a_study_without_lpips_says_nothing_of_it(frames: Frames):
    shown = fidelity.table(frames, make_cells(frames.measured()))
    assert shown is not None
    assert "LPIPS" not in shown.csv() + " ".join(shown.notes)


def test_lpips_stands_beside_the_line_of_held_out_images(tree: StudyTree, tmp_path: Path):
    asking, kept = with_lpips(tree, tmp_path), {}
    for place, name in enumerate(("baseline", "improved", "dcgan", "wgan-gp")):
        path = tree.folder(name) / "examination" / "examination.json"
        kept[path] = path.read_text()
        value = {"low": 0.3, "high": 0.5, "std": 0.1, "groups": [0.3, 0.5], "n": 20, "interval": "t"}
        found = {"samples": {**value, "value": 0.35 + place / 100}, "held_out": {**value, "value": 0.45}}
        write_json(path, {**json.loads(kept[path]), "lpips": {"network": "alex", "size": 64, **found}})
    try:
        frames = read_frames(asking.loaded, asking.root, asking.plan)
        shown = fidelity.table(frames, make_cells(frames.measured()))
    finally:
        for path, text in kept.items():
            path.write_text(text)
    assert [(row["Model"], row["Steps"], row["LPIPS diversity"]) for row in rows(shown)] == [
        ("DDPM", "50", "0.3500"),
        ("DDPM", "5", "—"),
        ("Improved DDPM", "50", "0.3600"),
        ("Improved DDPM", "5", "—"),
        ("DCGAN", "1", "0.3700"),
        ("WGAN-GP", "1", "0.3800"),
        ("VAE", "1", "not run"),
        ("held-out real images", "—", "0.4500"),
        ("uniform noise", "—", "—"),
    ]
    assert isinstance(shown, Table)
    assert "mean LPIPS (AlexNet, images brought to 64×64) over all pairs of the first 20 images" in shown.notes[-1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (50.0, "score 200.0 at 100 images and 100.0 at 400; by their own line 75 and 50 % of these are bias."),
        (-1.0, "score 200.0 at 100 images and 100.0 at 400."),  # more than all of it would be bias
        (None, "score 200.0 at 100 images and 100.0 at 400."),
    ],
)
def test_how_much_of_what_real_images_score_is_bias_is_told_where_their_line_says_it(line: float | None, said: str):
    counts = [{"n": 100, "value": 200.0}, {"n": 400, "value": 100.0}]
    extrapolation = None if line is None else {"value": line}
    record = {"images": 400, "counts": counts, "extrapolation": extrapolation}
    curve = sample_count.Curve("real", "", None, "#000000", record, "file")
    assert sample_count._of_real(curve, counts[0], 100).endswith(said)
