"""The Ho et al. network computes what diffusers' `UNet2DModel` computes when given the same weights."""

from collections.abc import Callable

import pytest
import torch

from rediffuse.interop.diffusers_format import config_to_diffusers, weights_to_diffusers
from rediffuse.models import PRESETS, UNet, UNetConfig, preset

diffusers = pytest.importorskip("diffusers")


@pytest.mark.parametrize(
    "config",
    [
        preset("ho-cifar10", channels=32, groups=8, dropout=0.0),
        preset("tiny-digits"),
        PRESETS["ho-cifar10"],
    ],
    ids=["ho-narrow", "tiny-digits", "ho-cifar10"],
)
def test_the_same_weights_give_the_same_output_as_diffusers(
    awake: Callable, images: Callable, config: UNetConfig
) -> None:
    ours, theirs = awake(UNet(config)), diffusers.UNet2DModel(**config_to_diffusers(config)).eval()
    theirs.load_state_dict(weights_to_diffusers(config, ours.state_dict()), strict=True)
    x, t = images(config, 2), torch.tensor([17, 801])
    with torch.no_grad():
        expected = theirs(x, t).sample
        output = ours(x, t)
    assert expected.std() > 0.05
    assert ((output - expected).norm() / expected.norm()).item() < 1e-5
