"""Sizes of the presets: published ones, a closed form that sums over the layers, and diffusers' own count."""

import pytest
import torch

from rediffuse.errors import UserError
from rediffuse.interop.diffusers_format import config_to_diffusers
from rediffuse.models import PRESETS, UNet, UNetConfig, preset, with_learned_variance
from rediffuse.models.blocks import SelfAttention

# Ho et al. 2020 (35.7 M), Nichol & Dhariwal 2021 and Song, Meng & Ermon 2021: as their published weights have them.
PUBLISHED = {
    "ho-cifar10": 35_746_307,
    "celeba64": 35_746_307,
    "base": 35_746_307,
    "iddpm-cifar10": 52_546_438,
    "ddim-celeba64": 78_700_803,
}


def parameters(config: UNetConfig) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in UNet(config).parameters())


def conv(inputs: int, outputs: int, side: int) -> int:
    return side * side * inputs * outputs + outputs


def closed_form(config: UNetConfig) -> int:
    """The number of parameters, from the layers that the papers describe."""
    width, embedding = config.channels, config.time_width * config.channels
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
        total += (config.time_sinusoid * width + 1) * embedding + (embedding + 1) * embedding
    if config.num_classes is not None:
        total += (config.num_classes + 1) * embedding + config.class_mlp * 2 * (embedding + 1) * embedding
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
    """Every preset in every kind, but for that with another way up, whose layers are written out below."""
    found = []
    for name, config in PRESETS.items():
        if config.skips != "layers":
            continue
        found += [
            (name, config),
            (f"{name}-conditional", config.replace(num_classes=10)),
            (f"{name}-class-mlp", config.replace(num_classes=10, class_mlp=True)),
            (f"{name}-wide-time", config.replace(time_sinusoid=3, time_width=2)),
            (f"{name}-no-time", config.replace(use_time=False)),
            (f"{name}-learned-variance", with_learned_variance(config)),
        ]
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_network_has_its_published_size(name: str) -> None:
    assert parameters(PRESETS[name]) == PUBLISHED[name]


def residual(inputs: int, outputs: int, embedding: int) -> int:
    """Two normalised 3×3 convolutions, the projection of the embedding,
    and a 1×1 convolution where the width changes.
    """
    layers = 2 * inputs + conv(inputs, outputs, 3) + 2 * outputs + conv(outputs, outputs, 3)
    return layers + (embedding + 1) * outputs + (inputs != outputs) * conv(inputs, outputs, 1)


def test_d3_small_is_the_network_of_d3_figure_8() -> None:
    # The figure line by line, with Ho et al.'s blocks and changes of resolution; a sinusoid of time_emb_dim=256.
    layers = [
        *(257 * 256, 257 * 256),  # time_emb, here 256 → 256 → 256
        conv(3, 64, 3),  # input_conv
        *(residual(64, 128, 256), conv(128, 128, 3)),  # down1, its output skip1, then halved
        *(residual(128, 256, 256), conv(256, 256, 3)),  # down2, skip2
        *(residual(256, 256, 256), residual(256, 256, 256)),  # mid1, mid2
        *(conv(256, 256, 3), residual(256 + 256, 128, 256)),  # up1: doubled, joined with skip2
        *(conv(128, 128, 3), residual(128 + 128, 64, 256)),  # up2: doubled, joined with skip1
        *(2 * 64, conv(64, 3, 3)),  # output_conv
    ]
    assert parameters(PRESETS["d3-small"]) == sum(layers)


def test_d4_light_is_the_network_of_d4_section_3_6_1() -> None:
    # n_channels=32, ch_mults=(1, 2, 2, 4), n_blocks=2, one grey channel; the blocks and skips are Ho et al.'s.
    skips, current, total = [32], 32, conv(1, 32, 3) + 33 * 128 + 129 * 128
    for level, width in enumerate((32, 64, 64, 128)):
        for _ in range(2):
            total += residual(current, width, 128)
            skips.append(current := width)
        if level < 3:
            total += conv(width, width, 3)
            skips.append(width)
    total += 2 * residual(128, 128, 128)
    for level, width in reversed(list(enumerate((32, 64, 64, 128)))):
        for _ in range(3):
            total += residual(current + skips.pop(), width, 128)
            current = width
        total += (level > 0) * conv(width, width, 3)
    assert parameters(PRESETS["d4-light"]) == total + 2 * 32 + conv(32, 1, 3)


@pytest.mark.parametrize(("name", "lowest", "dropout"), [("d3-small", 8, 0.0), ("d4-light", 4, 0.1)])
def test_the_networks_of_d3_and_d4_halve_as_often_as_theirs_and_attend_nowhere(
    name: str, lowest: int, dropout: float
) -> None:
    sides = []
    with torch.device("meta"):
        network = UNet(PRESETS[name])
        network.middle[0].register_forward_pre_hook(lambda _, inputs: sides.append(inputs[0].shape[-1]))
        network(torch.empty(1, network.config.in_channels, 32, 32), torch.empty(1))
    assert sides == [lowest]
    assert len(network.middle) == 2
    assert not any(isinstance(module, SelfAttention) for module in network.modules())
    assert {module.num_groups for module in network.modules() if isinstance(module, torch.nn.GroupNorm)} == {8}
    assert network.config.dropout == dropout


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
    sizes = [parameters(PRESETS[name]) for name in ("tiny", "small", "base", "large")]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("name", ["ho-cifar10", "ho-cifar10-narrow", "ho-cifar10-shallow", "celeba64", "ddim-celeba64"])
def test_diffusers_counts_the_same(name: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    with torch.device("meta"):
        theirs = diffusers.UNet2DModel(**config_to_diffusers(PRESETS[name]))
    assert sum(p.numel() for p in theirs.parameters()) == parameters(PRESETS[name])


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
