"""Quality during training in the report: what it shows is what the files say."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from rediffuse.errors import UserError
from rediffuse.reporting.chapters import during_training
from rediffuse.reporting.read.frames import Frames, read_frames
from rediffuse.reporting.read.timings import read_timings
from rediffuse.reporting.render.picture import Picture, finish, styled
from tests.reporting.study_tree import PROJECT, StudyTree


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> StudyTree:
    return StudyTree(tmp_path_factory.mktemp("watched"), PROJECT / "studies" / "smoke.yaml").everything()


@pytest.fixture(scope="module")
def frames(tree: StudyTree) -> Frames:
    return read_frames(tree.loaded, tree.root, tree.plan)


def test_the_table_has_a_row_for_each_run_and_step_with_both_kinds_of_weights(tree: StudyTree, frames: Frames):
    table = during_training.table(frames)
    assert table is not None
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [(row["Run"], row["Training step"]) for row in rows] == [
        ("DDPM", "30"),
        ("DDPM", "60"),
        ("Improved DDPM", "30"),
        ("Improved DDPM", "60"),
    ]
    record = json.loads((tree.folder("improved") / "during-training" / "scores.json").read_text())
    for row, written in zip(rows[2:], record["rows"], strict=True):
        for weights in ("averaged", "raw"):
            shown = float(row[f"Fréchet distance, {weights}"])
            assert shown == pytest.approx(written[weights]["frechet_distance"], rel=1e-3)


def test_the_share_of_time_is_of_training_and_watching_together(tree: StudyTree, frames: Frames):
    table = during_training.cost(frames, read_timings(tree.loaded, tree.plan, tree.root))
    assert table is not None
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [row["Run"] for row in rows] == ["DDPM", "Improved DDPM"]
    # Of the tree's 250.5 s of training and 4 s of following.
    assert float(rows[0]["Share of both (%)"]) == pytest.approx(100 * 4 / 254.5, rel=1e-3)


def test_the_words_compare_the_weights_at_the_last_step_and_name_the_real_line(frames: Frames):
    words = during_training.words(frames)
    assert "600.0 from averaged and 650.0 from raw weights (DDPM)" in words
    assert "20 held-out real images score 90.0" in words


def test_the_figure_has_a_line_for_each_run_and_kind_of_weights(frames: Frames, monkeypatch: pytest.MonkeyPatch):
    drawn = {}

    def keep(figure: Figure, name: str, caption: str, alt: str) -> Picture:
        drawn.update(
            {axes.get_title(loc="left"): [line.get_linestyle() for line in axes.lines] for axes in figure.axes}
        )
        return finish(figure, name, caption, alt)

    monkeypatch.setattr(during_training, "finish", keep)
    with styled():
        assert during_training.figure(frames) is not None
    # Two runs, averaged and raw, and the line of real images.
    assert {title: len(lines) for title, lines in drawn.items()} == {"Fréchet distance": 5, "IS formula": 5}
    assert drawn["Fréchet distance"].count("-") == 2


def test_a_study_that_does_not_look_has_none_of_it(empty_tree: StudyTree):
    frames = read_frames(empty_tree.loaded, empty_tree.root, empty_tree.plan)
    assert during_training.words(frames) == ""
    assert during_training.figure(frames) is None
    assert during_training.table(frames) is None


def test_a_damaged_file_is_named(tree: StudyTree, frames: Frames):
    path = tree.folder("baseline") / "during-training" / "scores.json"
    content = path.read_text()
    path.write_text("{}")
    try:
        with pytest.raises(UserError, match=r"scores\.json: lacks held_out"):
            during_training.words(frames)
    finally:
        path.write_text(content)


@pytest.mark.parametrize("dropped", [(), ("inception_score",)], ids=["all", "no class probabilities"])
def test_coloured_images_have_two_more_panels_and_columns(tmp_path: Path, dropped: tuple[str, ...]):
    tree = StudyTree(tmp_path, PROJECT / "studies" / "smoke.yaml").everything()
    for run in ("baseline", "improved"):
        path = tree.folder(run) / "during-training" / "scores.json"
        record = json.loads(path.read_text())
        for scored in (record["held_out"], *(row[kind] for row in record["rows"] for kind in ("averaged", "raw"))):
            scored |= {"colour_cast": 0.125, "hue_agreement": 0.75}
            for name in dropped:
                del scored[name]
        record["rows"][0]["raw"]["colour_cast"] = 0.9  # in the earlier half
        record["rows"][-1]["raw"]["colour_cast"] = 0.5
        path.write_text(json.dumps(record))
    frames = read_frames(tree.loaded, tree.root, tree.plan)
    with styled():
        picture, table = during_training.figure(frames), during_training.table(frames)
    assert picture is not None
    assert "Colour cast: distance" in picture.caption
    words = during_training.words(frames)
    assert "0.12 and 0.12 from averaged and 0.50 and 0.50 from raw weights (DDPM)" in words
    assert table is not None
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert [row["Colour cast, averaged"] for row in rows] == ["0.1250"] * 4
    assert ("IS formula, raw" in rows[0]) == (not dropped)


def test_without_as_many_held_out_images_no_line_of_theirs_is_drawn(tmp_path: Path):
    tree = StudyTree(tmp_path, PROJECT / "studies" / "smoke.yaml").everything()
    for run in ("baseline", "improved"):
        path = tree.folder(run) / "during-training" / "scores.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"held_out": {}}))
    frames = read_frames(tree.loaded, tree.root, tree.plan)
    assert "held-out" not in during_training.words(frames)
    with styled():
        assert during_training.figure(frames) is not None


def test_a_run_without_an_average_is_named_and_the_sampler_is_that_of_the_runs(frames: Frames):
    (one, *_) = during_training.watched(frames)

    def like(**overrides: Any) -> during_training.Watched:
        assert one.run.diffusion is not None
        training = one.run.training.model_copy(update={"ema_decay": overrides.get("decay", 0.9)})
        diffusion = one.run.diffusion.model_copy(update={"prediction": overrides.get("prediction", "eps")})
        return one._replace(run=one.run.model_copy(update={"training": training, "diffusion": diffusion}))

    assert during_training._unaveraged([like()]) == ""
    assert during_training._unaveraged([like(), like(decay=0)]).startswith(f" (with {one.run.label} the raw ones")
    assert during_training._method([like()]) == "DDIM"
    assert during_training._method([like(prediction="velocity")]) == "Euler's method"
    assert "DDIM or" in during_training._method([like(), like(prediction="velocity")])
