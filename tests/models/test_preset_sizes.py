"""Sizes of the presets: published ones, a closed form that sums over the layers, and diffusers' own count."""

import pytest
import torch

from rediffuse.errors import UserError
from rediffuse.interop.diffusers_format import config_to_diffusers
from rediffuse.models import PRESETS, UNet, UNetConfig, preset, with_learned_variance

# Every preset, with its exact number of parameters.
SIZES = {
    "ho-cifar10": 35_746_307,
    "ho-cifar10-narrow": 8_952_067,
    "ho-cifar10-shallow": 24_275_587,
    "iddpm-cifar10": 52_546_438,
    "celeba64": 35_746_307,
    "ddim-celeba64": 78_700_803,
    "d3-small": 2_530_371,
    "d4-light": 4_313_153,
    "tiny": 1_113_955,
    "small": 8_952_067,
    "base": 35_746_307,
    "large": 110_323_011,
    "light-cifar10": 6_258_723,
    "light-se-cifar10": 6_939_915,
    "tiny-digits": 252_545,
    "micro-digits": 44_969,
}


def parameters(config: UNetConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in UNet(config).parameters())


def conv(inputs: int, outputs: int, side: int) -> int:
    return side * side * inputs * outputs + outputs


def closed_form(config: UNetConfig) -> int:
    """The number of parameters, from the layers that the papers describe."""
    width, embedding = config.channels, 4 * config.channels
    separable = config.block != "residual"
    conditioned = config.use_time or config.num_classes is not None

    def projection(outputs: int) -> int:
        slices = 2 if config.time_conditioning == "scale-shift" else 1
        return (embedding + 1) * slices * outputs if conditioned else 0

    def block(inputs: int, outputs: int) -> int:
        shortcut = 0 if inputs == outputs else conv(inputs, outputs, 1)
        if not separable:
            layers = 2 * inputs + conv(inputs, outputs, 3) + 2 * outputs + conv(outputs, outputs, 3)
        else:
            wide, hidden = config.expansion * outputs, outputs // 4
            layers = 2 * outputs + conv(outputs, wide, 1) + 10 * wide + 2 * wide + conv(wide, outputs, 1)
            if config.block == "inverted-se":
                layers += conv(wide, hidden, 1) + conv(hidden, wide, 1)
        return layers + shortcut + projection(outputs)

    def attention(channels: int) -> int:
        return 2 * channels + 4 * conv(channels, channels, 1)

    def resample(channels: int) -> int:
        return 10 * channels + conv(channels, channels, 1) if separable else conv(channels, channels, 3)

    total = (
        conv(config.in_channels, width, 3)
        + 2 * width * config.multipliers[0]
        + (conv(width * config.multipliers[0], config.out_channels, 3))
    )
    if config.use_time:
        total += (width + 1) * embedding + (embedding + 1) * embedding
    if config.num_classes is not None:
        total += (config.num_classes + 1) * embedding
    widths = [width * multiplier for multiplier in config.multipliers]
    before = [width, *widths]
    for level, channels in enumerate(widths):
        attends = attention(channels) if config.image_size // 2**level in config.attention else 0
        last = level == len(widths) - 1
        # Down: the first block comes from the level above.
        total += block(before[level], channels) + (config.blocks - 1) * block(channels, channels)
        # Up: the first block joins the level below, the last meets the skip that came into this level.
        below = channels if last else widths[level + 1]
        total += block(below + channels, channels) + block(channels + before[level], channels)
        total += (config.blocks - 1) * block(2 * channels, channels)
        total += (2 * config.blocks + 1) * attends
        total += 0 if last else resample(channels) + resample(widths[level + 1])
    return total + 2 * block(widths[-1], widths[-1]) + (attention(widths[-1]) if config.middle_attention else 0)


def variants() -> list[tuple[str, UNetConfig]]:
    found = []
    for name, config in PRESETS.items():
        found += [
            (name, config),
            (f"{name}-conditional", config.replace(num_classes=10)),
            (f"{name}-no-time", config.replace(use_time=False)),
            (f"{name}-learned-variance", with_learned_variance(config)),
        ]
    return found


def test_every_preset_has_its_size_in_the_table() -> None:
    assert {name: parameters(config) for name, config in PRESETS.items()} == SIZES


def test_the_ho_cifar10_network_with_learned_variance_has_exactly_its_number_of_parameters() -> None:
    assert parameters(with_learned_variance(PRESETS["ho-cifar10"])) == 35_749_766


@pytest.mark.parametrize(("name", "config"), variants(), ids=[name for name, _ in variants()])
def test_sizes_are_those_of_the_sum_over_layers(name: str, config: UNetConfig) -> None:
    assert parameters(config) == closed_form(config)


def test_classes_cost_one_vector_each_and_one_for_no_label() -> None:
    config = PRESETS["ho-cifar10"]
    assert parameters(config.replace(num_classes=10)) - parameters(config) == 11 * 512


def test_without_the_time_input_its_layers_are_gone_too() -> None:
    config = PRESETS["ho-cifar10"]
    mlp = 129 * 512 + 513 * 512
    projections = 513 * (2 * 128 + 6 * 256 + 2 * 256 + 9 * 256 + 3 * 128)
    assert parameters(config) - parameters(config.replace(use_time=False)) == mlp + projections


def test_the_base_size_is_the_network_of_ho_and_sizes_grow() -> None:
    assert PRESETS["base"] == PRESETS["ho-cifar10"]
    assert sorted(SIZES[name] for name in ("tiny", "small", "base", "large")) == [
        SIZES[name] for name in ("tiny", "small", "base", "large")
    ]


@pytest.mark.parametrize("name", ["ho-cifar10", "ho-cifar10-narrow", "ho-cifar10-shallow", "celeba64", "ddim-celeba64"])
def test_diffusers_counts_the_same(name: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        theirs = diffusers.UNet2DModel(**config_to_diffusers(PRESETS[name]))
    assert sum(p.numel() for p in theirs.parameters()) == SIZES[name]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_turns_a_batch_into_a_prediction_of_the_declared_shape(name: str) -> None:
    config = PRESETS[name]
    side = config.image_size
    with torch.device("meta"):
        output = UNet(config)(torch.empty(2, config.in_channels, side, side), torch.empty(2))
    assert output.shape == (2, config.out_channels, side, side)


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="ho-cifar10"):
        preset("cifar")
