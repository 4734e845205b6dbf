"""The bytes held for a backward pass, against counts by hand."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from rediffuse.models import UNet, preset
from rediffuse.models.memory import peak_training_bytes, recomputed_bytes, saved_activation_bytes, training_state_bytes


def test_a_chain_holds_what_its_derivatives_need_and_nothing_twice() -> None:
    x = torch.randn(100, requires_grad=True)
    # d exp = exp: its output (400 bytes); d sin: its input, which is that same output; d(2x): nothing.
    _, held = saved_activation_bytes(lambda: (2 * x.exp().sin()).sum())
    assert held == 400


def test_views_of_one_storage_count_once() -> None:
    x = torch.randn(64, requires_grad=True)
    h = x * 1
    _, held = saved_activation_bytes(lambda: (h[:32].sin() + h[32:].sin()).sum())
    assert held == 256


def test_weights_that_live_anyway_are_not_counted() -> None:
    layer = nn.Linear(10, 7, bias=False)
    x = torch.randn(5, 10)
    _, with_weights = saved_activation_bytes(lambda: layer(x.requires_grad_()).sum())
    _, without = saved_activation_bytes(lambda: layer(x.requires_grad_()).sum(), list(layer.parameters()))
    assert with_weights - without == 10 * 7 * 4
    assert without == 5 * 10 * 4


def test_a_convolution_and_its_activation_hold_input_and_output() -> None:
    layer = nn.Conv2d(3, 8, 3, padding=1)
    x = torch.randn(2, 3, 16, 16)
    _, held = saved_activation_bytes(lambda: nn.functional.silu(layer(x)).sum(), list(layer.parameters()))
    assert held == 4 * (2 * 3 * 256 + 2 * 8 * 256)


def test_bytes_grow_with_the_batch_as_a_straight_line(images: Callable) -> None:
    model = UNet(preset("micro-digits")).train()

    def held(batch: int) -> int:
        x = images(model.config, batch)
        t = torch.zeros(1)
        return saved_activation_bytes(lambda: model(x, t).sum(), list(model.parameters()))[1]

    assert held(8) - held(4) == 2 * (held(4) - held(2))


@pytest.mark.parametrize("block", ["residual", "inverted", "inverted-se"])
def test_checkpointing_holds_less_and_its_peak_is_lower(images: Callable, block: str) -> None:
    plain = UNet(preset("tiny-digits", block=block)).train()
    saving = UNet(preset("tiny-digits", block=block, checkpointing=True)).train()
    x, t = images(plain.config, 16), torch.zeros(1)
    held = [saved_activation_bytes(lambda m=m: m(x, t).sum(), list(m.parameters()))[1] for m in (plain, saving)]
    assert held[1] < 0.5 * held[0]
    assert recomputed_bytes(plain, lambda: plain(x, t)) == 0
    assert 0 < recomputed_bytes(saving, lambda: saving(x, t)) < held[0]
    peaks = [peak_training_bytes(m, lambda m=m: m(x, t).sum()) for m in (plain, saving)]
    assert peaks[1] < peaks[0]


def test_the_state_of_training_is_weights_gradients_two_moments_and_the_average() -> None:
    layer = nn.Linear(10, 7)
    assert training_state_bytes(layer) == 5 * 77 * 4
    assert training_state_bytes(layer, average=False) == 4 * 77 * 4
