"""Folders and files as other projects leave them: what is taken is said, and what cannot be is named in one line."""

import gzip
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from rediffuse.interop.exchange import import_weights
from rediffuse.interop.own_format import Package, write_package
from rediffuse.interop.sources import IddpmFacts, read_any
from rediffuse.models import UNet, preset
from tests.interop.conftest import refused
from tests.interop.test_diffusers_format import GOOGLE, SMALL
from tests.interop.test_iddpm_format import network as iddpm

diffusers = pytest.importorskip("diffusers")

pytestmark = pytest.mark.usefixtures("here")
FACTS = IddpmFacts(image_size=16)


def unet(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return diffusers.UNet2DModel(**{key: value for key, value in SMALL.items() if key[0] != "_"})


def expected(model: Any) -> dict[str, torch.Tensor]:
    """Our tensors of diffusers' network, read from the plain folder that diffusers saves."""
    model.save_pretrained("plain")
    return read_any(Path("plain")).state


def same(found: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return found.keys() == other.keys() and all(torch.equal(found[name], other[name]) for name in found)


def average(model: Any, folder: str) -> None:
    """A moving average as diffusers' training scripts save it."""
    from diffusers.training_utils import EMAModel

    EMAModel(model.parameters(), decay=0.999, model_cls=type(model), model_config=model.config).save_pretrained(folder)


def test_of_a_training_with_raw_weights_and_their_average_it_is_said_which_are_taken() -> None:
    raw, averaged = unet(0), unet(1)
    raw.save_pretrained("checkpoint-5/unet")
    average(averaged, "checkpoint-5/unet_ema")
    package = read_any(Path("checkpoint-5"))
    assert same(package.state, expected(raw))
    assert (
        "raw weights; their moving average lies beside them, and is taken if you name checkpoint-5/unet_ema"
        in (package.notes[0])
    )


@pytest.mark.parametrize("named", ["checkpoint-5/unet_ema", "checkpoint-5"])
def test_a_moving_average_of_diffusers_is_read_with_the_schedule_of_its_training(named: str) -> None:
    model = unet()
    average(model, "checkpoint-5/unet_ema")
    diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2").save_pretrained("scheduler")
    package = read_any(Path(named))
    assert same(package.state, expected(model))
    assert "a moving average of weights" in package.notes[0]
    assert package.diffusion["schedule"] == "cosine"


def test_weights_in_shards_are_read_as_those_in_one_file() -> None:
    model = unet()
    model.save_pretrained("shards", max_shard_size="100KB")
    assert len(list(Path("shards").glob("*-of-*.safetensors"))) > 2
    assert same(read_any(Path("shards")).state, expected(model))


def test_a_missing_shard_is_named_and_an_index_of_other_folders_refused() -> None:
    unet().save_pretrained("shards", max_shard_size="100KB")
    shard = sorted(Path("shards").glob("*-of-*.safetensors"))[1]
    shard.unlink()
    assert f"1 are missing, the first {shard.name}" in refused(read_any, Path("shards"))
    index = next(Path("shards").glob("*.index.json"))
    for wrong in ({}, {"weight_map": []}, {"weight_map": {"a": "../x"}}, {"weight_map": {"a": 3}}, {"weight_map": {}}):
        index.write_text(json.dumps(wrong))
        assert refused(read_any, Path("shards")).startswith(f"{index}: ")


def test_a_variant_in_half_precision_is_named_by_the_folder_and_read_as_a_file() -> None:
    model = unet()
    reference = expected(model)
    model.half().save_pretrained("half", variant="fp16")
    file = Path("half/diffusion_pytorch_model.fp16.safetensors")
    assert f"name the file, as {file}" in refused(read_any, Path("half"))
    package = read_any(file)
    assert same(package.state, {name: value.half().float() for name, value in reference.items()})
    count = len(load_file(file))
    assert f"{count} of {count} tensors were float16 and are now float32" in package.notes


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["diffusion_flax_model.msgpack"], "diffusion_flax_model.msgpack: nothing of it can be read"),
        (["model.onnx"], "model.onnx: nothing of it can be read"),
        (["diffusion_pytorch_model.bin"], "diffusion_pytorch_model.bin: holds pickled weights, which are never read"),
        (["diffusion_pytorch_model.non_ema.safetensors"], "name the file, as f/diffusion_pytorch_model.non_ema"),
    ],
)
def test_a_folder_without_the_weights_says_what_lies_there(names: list[str], found: str) -> None:
    Path("f").mkdir()
    Path("f/config.json").write_text(json.dumps(GOOGLE))
    for name in names:
        Path("f", name).write_bytes(b"x")
    assert found in refused(read_any, Path("f"))


def test_a_folder_without_a_network_says_what_lies_there() -> None:
    Path("run").mkdir()
    assert "run: has no config.json, but is empty" in refused(read_any, Path("run"))
    for name in ("model000500.pt", "opt000500.pt", "ema_0.9999_000500.pt"):
        Path("run", name).touch()
    assert "name the file, as run/ema_0.9999_000500.pt, a moving average" in refused(read_any, Path("run"))
    unet().save_pretrained("out/checkpoint-7/unet")
    assert "name one of the folders that have it, as out/checkpoint-7/unet" in refused(read_any, Path("out"))


def test_of_iddpms_files_it_is_said_which_are_averages() -> None:
    state = iddpm().state_dict()
    Path("run").mkdir()
    for name in ("model000500.pt", "ema_0.9999_000500.pt", "other.pt"):
        torch.save(state, f"run/{name}")
    notes = {name: read_any(Path("run", name), facts=FACTS).notes[0] for name in os.listdir("run")}
    assert "raw weights; a moving average lies beside them, run/ema_0.9999_000500.pt" in notes["model000500.pt"]
    assert "a moving average of weights" in notes["ema_0.9999_000500.pt"]
    assert "nothing says whether raw weights or a moving average" in notes["other.pt"]
    torch.save(torch.optim.Adam(iddpm().parameters()).state_dict(), "run/opt000500.pt")
    assert "is the state of an optimiser, not weights" in refused(read_any, Path("run/opt000500.pt"))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "ema_model.", "_orig_mod.module."])
def test_the_prefix_of_a_wrapper_is_taken_off_every_name(prefix: str) -> None:
    state = iddpm().state_dict()
    torch.save(state, "plain.pt")
    torch.save({f"{prefix}{name}": value for name, value in state.items()}, "wrapped.pt")
    plain, package = (read_any(Path(name), facts=FACTS) for name in ("plain.pt", "wrapped.pt"))
    assert same(plain.state, package.state)
    assert f"taken off the name of every tensor: {prefix.split('.')[0]}." in package.notes


def test_torchs_average_is_read_with_its_counter_passed_over() -> None:
    model = iddpm()
    torch.save(model.state_dict(), "plain.pt")
    torch.save(torch.optim.swa_utils.AveragedModel(model).state_dict(), "average.pt")
    assert same(*(read_any(Path(name), facts=FACTS).state for name in ("plain.pt", "average.pt")))


def test_of_a_training_state_the_entries_are_named_and_one_of_them_read() -> None:
    raw, averaged = iddpm().state_dict(), {name: 2 * value for name, value in iddpm().state_dict().items()}
    both = {f"ema_model.{n}": v for n, v in averaged.items()} | {f"online_model.{n}": v for n, v in raw.items()}
    torch.save({"model": raw, "ema": both, "optimizer": {"state": {}, "param_groups": []}, "step": 5}, "train.pt")
    torch.save(averaged, "plain.pt")
    line = refused(read_any, Path("train.pt"), facts=FACTS)
    assert "a training state with the entries model, ema, optimizer, step; weights alone are read" in line
    found = read_any(Path("train.pt"), facts=FACTS, entry="ema.ema_model")
    assert same(found.state, read_any(Path("plain.pt"), facts=FACTS).state)
    assert "--entry: there is no emma; there are model, ema" in refused(read_any, Path("train.pt"), entry="emma")
    assert "the state of an optimiser" in refused(read_any, Path("train.pt"), entry="optimizer")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("origin", ["diffusers", "rediffuse", "iddpm"])
def test_weights_that_are_not_finite_are_refused_by_tensor(origin: str, bad: float) -> None:
    if origin == "iddpm":
        state = iddpm().state_dict()
        state["out.2.bias"][1] = bad
        torch.save(state, "w")
        assert "w: the weights out.2.bias hold NaN or infinity" in refused(read_any, Path("w"), facts=FACTS)
    elif origin == "rediffuse":
        config = preset("micro-digits")
        state = UNet(config).state_dict()
        state["output.bias"][0] = bad
        write_package(Path("w"), Package(config, state, {}))
        assert "the weights output.bias hold NaN or infinity" in refused(read_any, Path("w"))
    else:
        model = unet()
        model.conv_out.bias.data[1] = bad
        model.save_pretrained("w")
        assert "the weights conv_out.bias hold NaN or infinity" in refused(read_any, Path("w"))


def test_weights_that_were_never_filled_are_refused(here: Path) -> None:
    network = unet()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    network.save_pretrained("zero")
    (here / "params.yaml").write_text((Path(__file__).parents[2] / "studies" / "smoke.yaml").read_text())
    options = {"null_class": False, "facts": FACTS}
    assert refused(import_weights, here, Path("zero"), "x", Path("params.yaml"), **options) == (
        "zero: every weight is zero; the file was made and never filled, get it again"
    )
    assert not (here / "weights").exists()


def test_numbers_that_float32_cannot_hold_are_not_finite() -> None:
    state = {name: value.double() for name, value in iddpm().state_dict().items()}
    state["out.2.bias"][0] = 1e300
    torch.save(state, "w.pt")
    assert "the weights out.2.bias hold NaN or infinity" in refused(read_any, Path("w.pt"), facts=FACTS)


@pytest.mark.parametrize("kind", [torch.int8, torch.bool, torch.complex64])
def test_tensors_of_other_than_real_numbers_are_refused(kind: torch.dtype) -> None:
    state = iddpm().state_dict()
    torch.save(state | {"out.2.bias": state["out.2.bias"].to(kind)}, "w.pt")
    assert f"tensor out.2.bias holds {kind}" in refused(read_any, Path("w.pt"), facts=FACTS)


def test_several_wrong_tensors_are_counted() -> None:
    model = unet()
    model.save_pretrained("w")
    file = Path("w/diffusion_pytorch_model.safetensors")
    state = load_file(file)
    kept = {name: value for name, value in state.items() if not name.startswith("conv_in.")}
    save_file(kept, file)
    assert "is missing (and 1 more)" in refused(read_any, Path("w"))
    save_file(state | {"a": torch.zeros(1), "b\n" * 200: torch.zeros(1), "c": torch.zeros(1)}, file)
    assert "tensor a (and 2 more) has no place" in refused(read_any, Path("w"))
    save_file(state | {name: torch.zeros(7) for name in ("conv_in.bias", "conv_out.bias")}, file)
    assert "tensor conv_in.bias is of shape [7]; it should be [16] (and 1 more)" in refused(read_any, Path("w"))


def test_a_file_of_another_layout_is_named_as_what_it_is() -> None:
    save_file(unet().state_dict(), "diffusers.safetensors")
    assert "holds diffusers' UNet2DModel, of which config.json must lie beside it" in refused(
        read_any, Path("diffusers.safetensors")
    )
    save_file(UNet(preset("micro-digits")).state_dict(), "ours.safetensors")
    assert "holds rediffuse's own network" in refused(read_any, Path("ours.safetensors"))


CONTENTS: dict[str, tuple[bytes, str]] = {
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", "a Git LFS pointer"),
    "html": (b"\n<!DOCTYPE html><html><title>Not found</title></html>", "a page (HTML or XML)"),
    "json": (b'{"error": "Repository not found"}', "JSON text"),
    "gzip": (gzip.compress(b"weights"), "a gzip archive"),
    "empty": (b"", "is empty"),
    "text": (b"no weights here at all", "cannot be read as weights"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(30), "an HDF5 file"),
    "numpy": (b"\x93NUMPY" + bytes(30), "a NumPy array"),
    "truncated zip": (b"PK\x03\x04" + bytes(30), "a damaged torch file"),
    "lying header": ((2**61).to_bytes(8, "little") + b'{"a":1}', "cannot be read as weights"),
    "long header": ((5000).to_bytes(8, "little") + b'{"a":1}', "a damaged safetensors file"),
    "header no JSON": ((7).to_bytes(8, "little") + b"{\xff\xff\xff\xff\xff\xff", "a damaged safetensors file"),
}


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w"])
@pytest.mark.parametrize("content", CONTENTS)
def test_what_lies_in_place_of_weights_is_named(content: str, name: str) -> None:
    data, what = CONTENTS[content]
    Path(name).write_bytes(data)
    line = refused(read_any, Path(name), facts=FACTS)
    assert line.startswith(f"{name}: ")
    assert what in line or "cannot be read as weights" in line


def test_cut_files_are_damaged_and_other_archives_named() -> None:
    state = iddpm().state_dict()
    save_file(state, "whole.safetensors")
    torch.save(state, "whole.pt")
    for name in ("whole.safetensors", "whole.pt"):
        data = Path(name).read_bytes()
        for share in (0.001, 0.5, 0.99):
            Path(name).write_bytes(data[: int(share * len(data))])
            assert "cannot be read as weights" in refused(read_any, Path(name), facts=FACTS)
    with zipfile.ZipFile("w.pt", "w") as archive:
        archive.writestr("weights.bin", b"x")
    assert "a damaged torch file" in refused(read_any, Path("w.pt"))
    torch.jit.script(torch.nn.Linear(2, 2)).save("module.pt")
    assert "is a TorchScript module" in refused(read_any, Path("module.pt"))
    torch.save(torch.nn.Linear(2, 2), "pickled.pt")
    assert "holds more than tensors (torch.nn.modules.linear.Linear), and pickled code is never run" in refused(
        read_any, Path("pickled.pt")
    )
    for value, what in (([state], "list"), (torch.zeros(3), "Tensor"), ({}, "no tensors")):
        torch.save(value, "w.pt")
        assert what in refused(read_any, Path("w.pt"))


def test_paths_that_are_no_file_are_named() -> None:
    assert "nowhere: there is no such file" in refused(read_any, Path("nowhere"))
    os.mkfifo("pipe")
    assert "pipe: is no ordinary file" in refused(read_any, Path("pipe"))
    refused(read_any, Path("a\0b"))
    refused(read_any, Path("a\nb" * 50))
    Path("w").mkdir()
    os.mkfifo("w/config.json")
    assert "w/config.json: is no file" in refused(read_any, Path("w"))
