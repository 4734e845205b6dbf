"""Files of weights that lie: one line, and no more memory than they have bytes. Pickled code: tests/interop."""

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from rediffuse.diagnosis.intake import Given, of_weights
from rediffuse.errors import UserError
from rediffuse.interop.sources import IddpmFacts, read_any

FIRST = "input_blocks.0.0.weight"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(path: str) -> str:
    """The one line of `import`, and that `diagnose` has no other."""
    given = Given(IddpmFacts(), False, None, None, None, 1000, "linear", "cpu")
    lines = []
    for read in (read_any, lambda name: of_weights(name, "none", given)):
        with pytest.raises(UserError) as caught:
            read(Path(path))
        lines.append(str(caught.value))
    assert lines[0] == lines[1]
    assert lines[0].isprintable()
    return lines[0]


def test_a_tensor_that_repeats_one_number_beyond_the_memory_is_refused():
    torch.save({FIRST: torch.zeros(1).expand(2**20, 2**20, 3, 3)}, "w.pt")
    assert refused("w.pt").endswith("its tensors would take over 10 times the file's size; those are no weights")


def test_an_archive_of_torchs_that_was_compressed_is_refused():
    torch.save({FIRST: torch.zeros(1000)}, "w.pt")
    with zipfile.ZipFile("w.pt") as plain, zipfile.ZipFile("small.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for member in plain.namelist():
            archive.writestr(member, plain.read(member))
    assert "small.pt: is a compressed archive" in refused("small.pt")


def test_a_folder_of_ours_holds_what_its_name_says():
    Path("w").mkdir()
    Path("w/config.json").write_text('{"format": "rediffuse"}')
    torch.save({"time.linear1.weight": torch.zeros(1).expand(2**40)}, "w/weights.safetensors")
    assert refused("w").startswith("w/weights.safetensors: is a file of torch's, not what its name says")


def entry(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HEADERS: dict[str, dict[str, Any]] = {
    "one tensor over another": {"a": entry([4], 0, 16), "b": entry([4], 8, 24)},
    "more than there is": {"a": entry([2**40], 0, 16)},
    "beyond the end": {"a": entry([4], 1000, 1016)},
    "more than can be counted": {"a": entry([2**32, 2**32], 0, 0)},
    "a type that is none": {"a": entry([4], 0, 16, "EVIL")},
}


@pytest.mark.parametrize("what", HEADERS)
def test_safetensors_whose_header_lies_are_damaged(what: str):
    header = json.dumps(HEADERS[what]).encode()
    Path("w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(24))
    assert "w.safetensors: is a damaged safetensors file" in refused("w.safetensors")


@pytest.mark.parametrize("length", [99_000_000, 2**40 - 1])
def test_safetensors_whose_header_is_said_to_be_huge_are_damaged(length: int):
    Path("w.safetensors").write_bytes(struct.pack("<Q", length) + b"{" + bytes(100))
    assert "w.safetensors: is a damaged safetensors file" in refused("w.safetensors")
