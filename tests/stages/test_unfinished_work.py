"""Work that was begun and not finished is gone on with where it is whole, and done again where it is not."""

from pathlib import Path

import numpy as np
import pytest

from rediffuse.arrays import read_arrays, write_arrays
from rediffuse.pipeline.context import Context
from rediffuse.runs.samples import Samples, has_stamp
from tests.stages.conftest import do, open_study, smoke_study

IMAGES = np.arange(32, dtype=np.uint8).reshape(2, 1, 4, 4)


def test_images_count_as_made_only_of_what_they_were_made_of(tmp_path: Path):
    path = tmp_path / "samples.npz"
    assert not has_stamp(path, "this")
    Samples(IMAGES, 5, "this").write(path)
    assert has_stamp(path, "this")
    assert not has_stamp(path, "that")


def test_no_changed_byte_of_a_file_changes_an_array(tmp_path: Path):
    path = tmp_path / "arrays.npz"
    write_arrays(path, images=IMAGES)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = read_arrays(path)
        assert found is None or (list(found) == ["images"] and np.array_equal(found["images"], IMAGES)), at


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Context:
    content = smoke_study()
    content["defaults"]["sampling"] = {"images": 40, "batch_size": 20, "samplers": {"ddim": {"steps": [5]}}}
    content["runs"] = {"baseline": {"role": "baseline", "training": {"steps": 2, "warmup": 0, "preview_steps": []}}}
    content["experiments"], content["claims"] = {}, []
    context = open_study(tmp_path_factory.mktemp("unfinished"), content)
    for stage, run in (("prepare", None), ("train", "baseline")):
        do(context, stage, run)
    return context


def test_a_batch_that_was_damaged_before_its_setting_was_finished_is_drawn_again(
    trained: Context, monkeypatch: pytest.MonkeyPatch
):
    path = trained.root / "runs/smoke/baseline/seed0/samples/ddim-5.npz"

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rediffuse.jobs.sampling._join", stop)
    with pytest.raises(KeyboardInterrupt):
        do(trained, "sample", "baseline")
    monkeypatch.undo()
    first = min(trained.root.glob("state/smoke/baseline/seed0/sample/*/*.npz"))
    content = bytearray(first.read_bytes())
    content[content.index(b"NUMPY") + 200] ^= 1
    first.write_bytes(content)
    do(trained, "sample", "baseline")
    right = path.read_bytes()
    for file in (path, trained.root / "runs/smoke/baseline/seed0/receipts/sample.json"):
        file.unlink()
    do(trained, "sample", "baseline")
    assert path.read_bytes() == right
