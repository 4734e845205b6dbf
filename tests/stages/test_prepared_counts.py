"""What a data set of one's own is too small for is said right after `prepare`, naming the key;
and its pictures count.
"""

import os
import zipfile
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from rediffuse.cli import main
from rediffuse.config.load import load_study
from rediffuse.data.registry import SOURCES, TAKES
from rediffuse.errors import UserError
from rediffuse.evaluation.frechet import frechet_distance, moments
from rediffuse.files import read_json
from rediffuse.jobs.restoration import decibels
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.outside import link, outside_digests
from rediffuse.pipeline.receipts import why_stale
from tests.stages.conftest import Rows, do, judge_of, open_study, smoke_study


def write_pictures(folder: Path, count: int, side: int = 8, first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(first, first + count):
        pixels = np.random.default_rng(index).integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:03d}.png")
    return folder


def study_of(path: Path, **changes: Any) -> dict[str, Any]:
    """A small study on the pictures of a folder, which needs 8 held-out images."""
    content = smoke_study()
    content["data"] = {"name": "mine", "source": "folder", "path": str(path), "image_size": 8}
    content["evaluation"] |= {"group_size": 6, "groups": 1, "likelihood_images": 2, "during_training": None}
    content["restoration"] = {**content.get("restoration", {}), "images": 8}
    content["experiments"], content["claims"] = {}, []
    content["runs"] = {"baseline": content["runs"]["baseline"]}
    for section, values in changes.items():
        content[section] = {**content[section], **values}
    return content


def prepare(tmp_path: Path, count: int, **changes: Any) -> Context:
    pictures = write_pictures(tmp_path / "pictures", count)
    context = open_study(tmp_path, study_of(pictures, **changes))
    do(context, "prepare")
    return context


@pytest.mark.parametrize(
    ("count", "changes", "said"),
    [
        (12, {}, "data.path: 1 of 12 images is held out, and evaluation.group_size needs 2 at least"),
        (9, {}, "data.path: 0 of 9 images are held out"),
        (40, {}, "evaluation.group_size: 6 exceeds the 4 held-out images of folder"),
        (
            40,
            {"evaluation": {"group_size": 4}},
            "restoration.images: 8 exceeds the 4 held-out images of folder; give en",
        ),
        (90, {"restoration": {"images": 10}}, "restoration.images: 10 exceeds the 9 held-out images of folder; use at"),
        (90, {"evaluation": {"likelihood_images": 10}}, "evaluation.likelihood_images: 10 exceeds the 9 held-out"),
    ],
)
def test_too_few_pictures_are_found_right_after_prepare(tmp_path, count, changes, said):
    with pytest.raises(UserError) as refused:
        prepare(tmp_path, count, **changes)
    assert str(refused.value).startswith(said)
    assert (tmp_path / "data" / "mine" / "receipts" / "prepare.json").exists()


def test_a_batch_beyond_the_training_pictures_is_found_too(tmp_path):
    write_pictures(tmp_path / "pictures" / "train", 9)
    write_pictures(tmp_path / "pictures" / "test", 8, first=9)
    context = open_study(tmp_path, study_of(tmp_path / "pictures"))
    with pytest.raises(UserError, match=r"training\.batch_size: \d+ exceeds the 9 training images of folder"):
        do(context, "prepare")


def test_a_study_that_grew_beyond_its_pictures_is_refused_before_the_next_job(tmp_path):
    prepare(tmp_path, 80)
    context = open_study(tmp_path, study_of(tmp_path / "pictures", evaluation={"group_size": 9}))
    with pytest.raises(UserError, match=r"evaluation\.group_size: 9 exceeds the 8 held-out images"):
        do(context, "reference")


def prepared(context: Context) -> str | None:
    """Why the prepared images are stale, None where they are not."""
    fresh = Context.open(context.root / "params.yaml", context.root)
    return why_stale(fresh.plan.find("prepare", None, None), Digests(fresh.root))


def replaced(pictures: Path) -> None:
    write_pictures(pictures, 10, first=100)
    for path in sorted(pictures.glob("10?.png")):
        path.replace(pictures / path.name.replace("10", "00"))


def replaced_within(pictures: Path) -> None:
    """Other bytes in the same file, of the same length and date."""
    path = pictures / "000.png"
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    "change",
    [
        replaced,
        replaced_within,
        lambda pictures: write_pictures(pictures, 1, first=80),
        lambda pictures: (pictures / "000.png").unlink(),
        lambda pictures: (pictures / "000.png").rename(pictures / "999.png"),
    ],
    ids=["replaced", "replaced, same size and date", "added", "removed", "renamed"],
)
def test_pictures_that_changed_make_what_was_prepared_stale(tmp_path, change):
    context = prepare(tmp_path, 80)
    assert prepared(context) is None
    change(tmp_path / "pictures")
    assert "pictures" in prepared(context)


def test_a_change_behind_a_linked_class_folder_is_noticed(tmp_path):
    for name in "ab":
        write_pictures(tmp_path / "elsewhere" / name, 40, first=ord(name))
    (tmp_path / "pictures").mkdir()
    for name in "ab":
        (tmp_path / "pictures" / name).symlink_to(tmp_path / "elsewhere" / name)
    context = open_study(tmp_path, study_of(tmp_path / "pictures"))
    do(context, "prepare")
    assert read_json(context.data_folder / "card.json")["images"] == 80
    assert prepared(context) is None
    write_pictures(tmp_path / "elsewhere" / "a", 1, first=500)
    assert "pictures" in prepared(context)


def test_a_zip_that_changed_is_noticed(tmp_path):
    pictures = write_pictures(tmp_path / "pictures", 80)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in sorted(pictures.iterdir()):
            archive.write(path, path.name)
    context = open_study(tmp_path, study_of(tmp_path / "x.zip"))
    do(context, "prepare")
    assert prepared(context) is None
    with zipfile.ZipFile(tmp_path / "x.zip", "a") as archive:
        archive.write(pictures / "000.png", "more.png")
    assert "pictures" in prepared(context)


def test_folders_that_link_in_a_circle_are_one_line_and_no_endless_walk(tmp_path):
    pictures = write_pictures(tmp_path / "pictures", 4)
    for name in "abc":
        (pictures / name).symlink_to("..")
    with pytest.raises(UserError, match="its files would count twice"):
        outside_digests(load_study(open_study_file(tmp_path, study_of(pictures))), tmp_path)


def open_study_file(folder: Path, content: dict[str, Any]) -> Path:
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    return folder / "params.yaml"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"name": "smoke", "image_size": 16}, "data.image_size: 16 is not allowed; smoke has a size of its own"),
        ({"name": "smoke", "path": "x"}, "data.path: 'x' is not read, smoke takes no path; leave it out"),
        ({"name": "mnist", "image_size": 30}, "data.image_size: 30 is not allowed; use 28 or 32"),
        ({"name": "cifar10", "image_size": 64}, "data.image_size: 64 is not allowed; cifar10 has a size of its own"),
        (
            {"name": "mine", "source": "folder", "image_size": 8},
            "data.path: is missing; folder is read from a folder or",
        ),
        ({"name": "mine", "source": "folder", "path": "x", "image_size": 8}, "data.path: x does not exist; give the"),
    ],
)
def test_check_refuses_what_the_data_set_does_not_take(tmp_path, monkeypatch, capsys, data, said):
    monkeypatch.chdir(tmp_path)
    open_study_file(tmp_path, {**study_of(tmp_path), "data": data})
    monkeypatch.setattr("sys.argv", ["rediffuse", "check"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line


def test_what_a_study_may_say_of_each_source_is_what_its_options_take():
    """`TAKES` says in the registry what the dataclasses of options say in modules that a check must not import."""
    for name, takes in TAKES.items():
        options = {field.name: field for field in fields(SOURCES[name].options)}
        place = next((options[name] for name in ("path", "archive", "folder") if name in options), None)
        needed = place is not None and place.default is MISSING
        assert takes.path == ("never" if place is None else "must" if needed else "may"), name
        assert ("size" in options) == (takes.sides != ()), name
    assert set(TAKES) == set(SOURCES)


def test_a_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_pictures(tmp_path / "pictures", 80)
    context = open_study(tmp_path, study_of(Path("~/pictures")))
    do(context, "prepare")
    assert read_json(context.data_folder / "card.json")["images"] == 80


def test_a_study_says_one_value_of_all_images_beside_the_groups(tmp_path):
    torch.jit.script(Rows()).save(str(tmp_path / "rows.pt"))
    pictures = write_pictures(tmp_path / "pictures", 100)
    content = study_of(pictures, evaluation={"features": "torchscript", "weights": "rows.pt", "group_size": 4})
    context = open_study(tmp_path, content)
    for stage in ("prepare", "reference", "real"):
        do(context, stage)
    record = read_json(tmp_path / "runs" / "smoke" / "real" / "held-out.json")
    distance = record["whole"]["metrics"]["frechet_distance"]
    # 10 of 100 are held out: a group of 4, and all 10.
    assert (record["images"], record["whole"]["images"], distance["n"]) == (4, 10, 10)
    assert distance["reference"] == {"dataset": "mine", "split": "train", "count": 90}
    judge = judge_of(context)
    held_out, _ = judge.images.split("held-out")
    training, _ = judge.images.split("train")
    expected = frechet_distance(*(m for i in (held_out, training) for m in moments(judge.features(i, None).features)))
    assert distance["value"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("linked", [True, False])
def test_that_dvc_does_not_look_behind_links_is_said(tmp_path, capsys, linked):
    pictures = write_pictures(tmp_path / "pictures" / "a", 80).parent
    if linked:
        (pictures / "a").rename(tmp_path / "elsewhere")
        (pictures / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "none").touch()
    link(load_study(open_study_file(tmp_path, study_of(pictures))), tmp_path)
    assert ("behind which DVC does not look" in capsys.readouterr().err) == linked


def test_an_image_without_error_counts_as_100_decibels():
    """A flat picture is its own enlargement: its PSNR would be infinite, which no file of numbers holds."""
    x0 = torch.zeros(2, 1, 4, 4)
    images = x0.clone()
    images[1] += 0.2
    assert decibels(images, x0).tolist() == pytest.approx([100, 20])  # 10 log10(2² / 0.2²)


def test_a_class_with_too_few_held_out_pictures_is_found_for_runs_that_ask_for_classes(tmp_path):
    write_pictures(tmp_path / "pictures" / "many", 85)
    write_pictures(tmp_path / "pictures" / "few", 5, first=100)
    content = study_of(tmp_path / "pictures")
    content["defaults"]["network"]["class_conditional"] = True
    with pytest.raises(UserError, match=r"data\.path: class 'few' has [01] held-out images"):
        do(open_study(tmp_path, content), "prepare")
