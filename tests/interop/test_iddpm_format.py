"""IDDPM's state dicts, against the published architecture written anew in iddpm_network.py."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rediffuse.errors import UserError
from rediffuse.interop.iddpm_format import config_from_iddpm, weights_from_iddpm
from rediffuse.interop.sources import IddpmFacts, read_any
from rediffuse.models import UNet, preset
from tests.interop.iddpm_network import UNetModel

SMALL: dict[str, Any] = {
    "channels": 64,
    "multipliers": (1, 2, 2),
    "blocks": 1,
    "attention": (2, 4),
    "heads": 4,
    "out_channels": 6,
    "scale_shift": True,
    "classes": None,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "as published": {},
    "added embedding": {"scale_shift": False},
    "one head": {"heads": 1},
    "fixed variance": {"out_channels": 3},
    "classes": {"classes": 5},
    "two blocks, attention at one level": {"blocks": 2, "attention": (2,)},
}


def network(**changes: Any) -> UNetModel:
    """IDDPM's network, no tensor of it at a special value."""
    torch.manual_seed(0)
    model = UNetModel(**{**SMALL, **changes}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.3)
    return model


@pytest.mark.parametrize("change", VARIANTS.values(), ids=VARIANTS)
def test_an_imported_network_computes_what_iddpm_computes(change: dict[str, Any]) -> None:
    theirs = network(**change)
    state = theirs.state_dict()
    config = config_from_iddpm(state, image_size=16, heads={**SMALL, **change}["heads"], timesteps=4000)
    ours = UNet(config).eval()
    ours.load_state_dict(weights_from_iddpm(config, state))
    x, t = torch.randn(3, 3, 16, 16), torch.tensor([3, 2001, 3999])
    y = torch.tensor([0, 4, 2]) if "classes" in change else None
    with torch.no_grad():
        expected = theirs(x, t * (1000 / 4000), y)  # rescale_timesteps
        assert expected.std() > 0.05
        assert ((ours(x, t, y) - expected).norm() / expected.norm()).item() < 1e-5


def test_the_published_cifar10_network_is_recognised_as_the_preset() -> None:
    with torch.device("meta"):
        theirs = UNetModel(128, (1, 2, 2, 2), 3, (2, 4), 4, 6, True, None)
    assert sum(p.numel() for p in theirs.parameters()) == 52_546_438
    assert config_from_iddpm(theirs.state_dict()) == preset("iddpm-cifar10", time_scale=0.25)


def test_timesteps_that_are_not_rescaled_leave_t_as_it_is() -> None:
    config = config_from_iddpm(network().state_dict(), image_size=16, rescaled_timesteps=False)
    assert config.time_scale == 1.0


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_of_weights_is_read(tmp_path: Path, suffix: str) -> None:
    state, path = network().state_dict(), tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    package = read_any(path, facts=IddpmFacts(image_size=16, timesteps=1000, schedule="linear"))
    assert package.network == config_from_iddpm(state, image_size=16, timesteps=1000)
    assert package.diffusion == {
        "timesteps": 1000,
        "schedule": "linear",
        "prediction": "eps",
        "variance": "learned-range",
    }


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("was-run"),)


def test_a_file_with_pickled_code_is_refused_and_its_code_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"input_blocks.0.0.weight": Harmful()}, "harmful.pt")
    with pytest.raises(UserError, match="pickled code is never run"):
        read_any(Path("harmful.pt"))
    Path("plain.pt").write_bytes(pickle.dumps({"weight": Harmful()}))
    with pytest.raises(UserError, match=r"plain.pt: (holds more than tensors|cannot be read)"):
        read_any(Path("plain.pt"))
    assert not Path("was-run").exists()


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"conv.weight": torch.zeros(3)}, tmp_path / "w.safetensors")
    with pytest.raises(UserError, match=r"tensor input_blocks.0.0.weight is missing; this is no state dict of IDDPM"):
        read_any(tmp_path / "w.safetensors")


def test_a_missing_tensor_is_named() -> None:
    state = network().state_dict()
    config = config_from_iddpm(state, image_size=16)
    del state["middle_block.1.qkv.bias"]
    with pytest.raises(UserError, match=r"tensor middle_block.1.qkv.bias is missing; .*\[384\]"):
        weights_from_iddpm(config, state)


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(UserError, match="heads is 3"):
        config_from_iddpm(network().state_dict(), image_size=16, heads=3)


def test_channels_too_few_for_its_32_groups_are_refused() -> None:
    with pytest.raises(UserError, match="32 channels cannot be represented in IDDPM's 32 groups"):
        config_from_iddpm(network(channels=32).state_dict(), image_size=16)
