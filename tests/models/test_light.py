"""Light blocks and activation checkpointing: what they compute,
and that the first is smaller and the second the same.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from rediffuse.errors import UserError
from rediffuse.models import PRESETS, UNet, UNetConfig, preset
from rediffuse.models.light import InvertedResidual, SeparableConv2d, SqueezeExcitation

BLOCKS = ("residual", "inverted", "inverted-se")
LIGHT = BLOCKS[1:]


def gradients(model: UNet, x: Tensor, seed: int = 5) -> dict[str, Tensor]:
    model.train().zero_grad()
    torch.manual_seed(seed)
    model(x, torch.tensor([3, 500, 999])).square().mean().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("block", BLOCKS)
def test_gradients_are_identical_with_and_without_checkpointing_dropout_included(
    awake: Callable, images: Callable, block: str
) -> None:
    plain = preset("micro-digits", block=block, dropout=0.5)
    kept = gradients(awake(UNet(plain)), images(plain))
    recomputed = gradients(
        awake(UNet(preset("micro-digits", block=block, dropout=0.5, checkpointing=True))), images(plain)
    )
    assert all(torch.equal(kept[name], recomputed[name]) for name in kept)
    # Dropout did act: another seed drops other values.
    other = gradients(awake(UNet(plain)), images(plain), seed=6)
    assert not all(torch.equal(kept[name], other[name]) for name in kept)


@pytest.mark.parametrize("block", LIGHT)
def test_a_fresh_light_block_of_one_width_is_the_identity(block: str) -> None:
    model = UNet(preset("micro-digits", block=block))
    inner = model.middle[0].residual
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(inner(x, torch.randn(2, 16)), x)


@pytest.mark.parametrize("block", LIGHT)
@pytest.mark.parametrize("conditioning", ["additive", "scale-shift"])
def test_every_light_variant_trains_every_parameter_and_hears_the_time(
    awake: Callable, images: Callable, block: str, conditioning: str
) -> None:
    config = preset("micro-digits", block=block, time_conditioning=conditioning)
    model = awake(UNet(config))
    grads = gradients(model, images(config))
    assert [name for name, grad in grads.items() if not grad.abs().sum() > 0] == []
    x = images(config, 1)
    model.eval()
    assert not torch.allclose(model(x, torch.tensor([0])), model(x, torch.tensor([999])), atol=1e-3)


@pytest.mark.parametrize("block", LIGHT)
def test_a_fresh_light_network_predicts_zero(images: Callable, block: str) -> None:
    config = preset("micro-digits", block=block)
    assert torch.count_nonzero(UNet(config)(images(config), torch.tensor([0, 500, 999]))) == 0


def test_the_inverted_residual_is_what_its_layers_written_out_by_hand_give() -> None:
    torch.manual_seed(0)
    block = InvertedResidual(
        6, 8, expansion=3, squeeze_excitation=True, scale_shift=False, dropout=0.0, groups=4, eps=1e-6
    ).double()
    x, embedding = torch.randn(2, 6, 5, 5, dtype=torch.float64), torch.randn(2, 8, dtype=torch.float64)

    def normalised(h: Tensor, layer: nn.GroupNorm) -> Tensor:
        grouped = h.reshape(len(h), layer.num_groups, -1)
        scaled = (grouped - grouped.mean(-1, keepdim=True)) / (
            grouped.var(-1, keepdim=True, unbiased=False) + 1e-6
        ).sqrt()
        return scaled.reshape(h.shape) * layer.weight[:, None, None] + layer.bias[:, None, None]

    def pointwise(h: Tensor, layer: nn.Conv2d) -> Tensor:
        return torch.einsum("bihw,oi->bohw", h, layer.weight[:, :, 0, 0]) + layer.bias[:, None, None]

    base = pointwise(x, block.shortcut)
    h = pointwise(normalised(base, block.norm1) + embedding[:, :, None, None], block.expand)
    h = h * h.sigmoid()
    padded = torch.zeros(2, 24, 7, 7, dtype=torch.float64)
    padded[:, :, 1:6, 1:6] = h
    h = sum(
        padded[:, :, i : i + 5, j : j + 5] * block.depthwise.weight[:, 0, i, j][:, None, None]
        for i in range(3)
        for j in range(3)
    )
    h = normalised(h + block.depthwise.bias[:, None, None], block.norm2)
    h = h * h.sigmoid()
    means = h.mean((2, 3)) @ block.excitation.squeeze.weight.T + block.excitation.squeeze.bias
    gate = ((means * means.sigmoid()) @ block.excitation.excite.weight.T + block.excitation.excite.bias).sigmoid()
    expected = base + pointwise(h * gate[:, :, None, None], block.project)
    torch.testing.assert_close(block(x, embedding), expected, rtol=1e-12, atol=1e-12)


def test_a_separable_convolution_needs_the_weights_of_its_formula() -> None:
    assert sum(p.numel() for p in SeparableConv2d(32, 48, 3, padding=1).parameters()) == 9 * 32 + 32 + 32 * 48 + 48


def test_the_gate_of_squeeze_excitation_lies_between_zero_and_one() -> None:
    x = torch.rand(4, 8, 3, 3) + 0.1
    gate = SqueezeExcitation(8, 2)(x) / x
    assert (gate > 0).all()
    assert (gate < 1).all()
    assert torch.allclose(gate, gate[:, :, :1, :1].expand_as(gate))


@pytest.mark.parametrize("name", ["light-cifar10", "light-se-cifar10"])
def test_the_light_networks_have_at_least_eighty_percent_fewer_parameters_than_ho(name: str) -> None:
    def count(config: UNetConfig) -> int:
        with torch.device("meta"):
            return sum(p.numel() for p in UNet(config).parameters())

    assert count(PRESETS[name]) <= 0.2 * count(PRESETS["ho-cifar10"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": "dense"}, "block is 'dense'; .* 'residual', 'inverted' or 'inverted-se'"),
        ({"expansion": 0}, "expansion is 0"),
    ],
)
def test_a_block_that_does_not_exist_is_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        preset("micro-digits", **changes)
