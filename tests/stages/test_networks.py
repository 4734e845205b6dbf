"""Weights on disk: the same bytes for the same weights, and one clear line for a file that does not fit."""

from pathlib import Path

import pytest
import torch

from rediffuse.config import load_study
from rediffuse.data.registry import load
from rediffuse.errors import UserError
from rediffuse.runs.networks import build_network, trained_network
from rediffuse.weights import write_weights

ROOT = Path(__file__).resolve().parents[2]
IMAGES = load("smoke")


@pytest.fixture(scope="module")
def runs():
    return load_study(ROOT / "studies" / "smoke.yaml").runs


def test_the_same_weights_give_the_same_bytes_however_often_they_are_written(runs, tmp_path: Path):
    state = build_network(runs["baseline"], IMAGES, 1).state_dict()
    for number in range(20):
        write_weights(tmp_path / f"{number}.safetensors", state, {"job": "train", "key": "abc", "study": "smoke"})
    assert len({path.read_bytes() for path in tmp_path.glob("*.safetensors")}) == 1


def test_weights_are_drawn_from_the_seed_alone(runs):
    torch.manual_seed(1)
    one = build_network(runs["baseline"], IMAGES, 7)
    torch.manual_seed(2)
    other = build_network(runs["baseline"], IMAGES, 7)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    another = build_network(runs["baseline"], IMAGES, 8)
    assert not torch.equal(one.input.weight, another.input.weight)


def test_written_weights_predict_as_before(runs, tmp_path: Path):
    network = build_network(runs["improved"], IMAGES, 1).eval()
    write_weights(tmp_path / "w.safetensors", network.state_dict(), {})
    x, t = torch.randn(2, *IMAGES.shape), torch.tensor([3, 40])
    with torch.no_grad():
        assert torch.equal(trained_network(runs["improved"], IMAGES, tmp_path / "w.safetensors")(x, t), network(x, t))


def test_absent_weights_are_said_to_be_absent_in_one_line_that_names_the_run(runs, tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.safetensors: no weights of run baseline; make them first$"):
        trained_network(runs["baseline"], IMAGES, tmp_path / "none.safetensors")


def test_weights_of_another_network_are_refused(runs, tmp_path: Path):
    write_weights(tmp_path / "w.safetensors", build_network(runs["improved"], IMAGES).state_dict(), {})
    with pytest.raises(UserError, match="not the weights of run baseline"):
        trained_network(runs["baseline"], IMAGES, tmp_path / "w.safetensors")


def test_a_cut_off_file_is_refused(runs, tmp_path: Path):
    path = tmp_path / "w.safetensors"
    write_weights(path, build_network(runs["baseline"], IMAGES).state_dict(), {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="not the weights of run baseline"):
        trained_network(runs["baseline"], IMAGES, path)


def test_weights_that_are_not_finite_are_refused_by_tensor(runs, tmp_path: Path):
    state = build_network(runs["baseline"], IMAGES).state_dict()
    state["output.bias"][0] = float("nan")
    write_weights(tmp_path / "w.safetensors", state, {})
    with pytest.raises(UserError, match="the weights output.bias hold NaN or infinity"):
        trained_network(runs["baseline"], IMAGES, tmp_path / "w.safetensors")
