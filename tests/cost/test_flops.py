"""FLOPs and parameters against the layers written out by hand; exact, no tolerance."""

from dataclasses import asdict

import pytest
import torch

from rediffuse.cost.exact import parameter_count
from rediffuse.cost.flops import _count, count_flops, total
from rediffuse.cost.scaling import at_side, growth_exponent
from rediffuse.errors import UserError
from rediffuse.models.presets import PRESETS, preset
from rediffuse.models.unet import UNet
from tests.cost.closed_form import closed_form

RESIDUAL = sorted(name for name, config in PRESETS.items() if config.block == "residual")
VARIANTS = {
    "two heads, scale and shift, learned variance": preset(
        "tiny-digits", heads=2, time_conditioning="scale-shift", out_channels=2
    ),
    "classes": preset("tiny-digits", num_classes=10),
    "no time": preset("tiny-digits", use_time=False),
    "average pooling, 3x3 shortcut": preset("tiny-digits", downsample="average", shortcut="3x3"),
    "attention everywhere": preset("tiny-digits", attention=(8, 4)),
    "no attention": preset("tiny-digits", attention=(), middle_attention=False),
}
CONFIGS = {name: PRESETS[name] for name in RESIDUAL} | VARIANTS


@pytest.mark.parametrize("name", CONFIGS)
def test_flops_of_every_kind_are_those_of_the_layers_written_out(name: str):
    _, expected = closed_form(CONFIGS[name])
    found = asdict(total(count_flops(CONFIGS[name])))
    assert found == {kind: expected[kind] for kind in found}


@pytest.mark.parametrize("name", CONFIGS)
def test_parameters_are_those_of_the_layers_written_out(name: str):
    assert parameter_count(CONFIGS[name]) == closed_form(CONFIGS[name])[0]


def test_parameters_of_published_networks():
    assert parameter_count(PRESETS["ho-cifar10"]) == 35_746_307
    assert parameter_count(PRESETS["iddpm-cifar10"]) == 52_546_438


@pytest.mark.parametrize("gradients", [torch.no_grad, torch.inference_mode])
def test_a_cpus_fused_attention_counts_as_much_as_the_two_products_on_the_meta_device(gradients):
    config = preset("tiny-digits", attention=(8, 4), heads=2)
    with gradients():
        found = _count(UNet(config).eval(), torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.long), None)
    assert found == count_flops(config)


def test_light_blocks_count_their_depthwise_convolutions_once_a_channel():
    """An inverted residual block without change of width: 1×1, depthwise 3×3, 1×1."""
    config = preset(
        "micro-digits", block="inverted", expansion=3, multipliers=(1,), middle_attention=False, attention=()
    )
    more = config.replace(blocks=2)
    c, pixels = config.channels, config.image_size**2
    inside = 2 * pixels * (c * 3 * c + 9 * 3 * c + 3 * c * c)
    shortcut = 2 * pixels * (2 * c * c)  # the way up: a 1×1 convolution of the block's input and the skip
    grown = total(count_flops(more)).convolution - total(count_flops(config)).convolution
    assert grown == 2 * inside + shortcut


def test_flops_are_proportional_to_the_batch():
    one, five = (total(count_flops(PRESETS["tiny-digits"], batch)) for batch in (1, 5))
    assert asdict(five) == {kind: 5 * flops for kind, flops in asdict(one).items()}


def test_convolution_grows_with_the_pixels_and_attention_with_their_square():
    small = preset("tiny-digits", attention=(8, 4))
    before, after = (total(count_flops(config)) for config in (small, at_side(small, 32)))
    pixels = 16
    assert after.convolution == pixels * before.convolution
    assert after.projection == pixels * before.projection
    assert after.attention == pixels**2 * before.attention
    assert after.linear == before.linear
    assert growth_exponent(before.attention, after.attention, pixels) == pytest.approx(2, rel=1e-12)


def test_the_same_weights_fit_at_another_resolution():
    small = preset("tiny-digits", attention=(8, 4))
    assert parameter_count(at_side(small, 64)) == parameter_count(small)
    assert at_side(small, 64).attention == (64, 32)


def test_a_side_that_does_not_survive_the_halvings_is_refused():
    with pytest.raises(UserError, match="multiple of 2"):
        at_side(PRESETS["tiny-digits"], 9)


def test_flops_lie_at_the_resolutions_of_the_levels():
    by_side = count_flops(PRESETS["ho-cifar10"])
    assert set(by_side) == {32, 16, 8, 4, 0}
    assert by_side[0].linear > 0
    assert {side for side, flops in by_side.items() if flops.attention} == {16, 4}  # 4: between the middle blocks
