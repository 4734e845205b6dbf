"""Saved bytes by hand, state bytes by definition, and peaks as the system measures them."""

import sys
import weakref

import pytest
import torch
from torch import Tensor, nn

from rediffuse.cost.exact import training_memory
from rediffuse.cost.memory import LiveBytes, sampling_bytes, saved_bytes, saved_for_backward, state_bytes
from rediffuse.cost.peak import PeakJob, peak_memory
from rediffuse.errors import UserError
from rediffuse.models.presets import PRESETS, preset
from rediffuse.models.unet import UNet
from rediffuse.training.adam import Adam
from rediffuse.training.ema import ExponentialMovingAverage


def test_saved_bytes_of_two_layers_by_hand():
    """A linear layer saves its input, tanh its output, the second linear layer that output again: it counts once."""
    network = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 2))
    x = torch.zeros(3, 5)
    assert saved_for_backward(network, lambda: network(x)) == 4 * (3 * 5 + 3 * 7)


def test_a_chain_saves_what_its_derivatives_need_and_nothing_twice():
    """d exp = exp: its output (400 bytes); d sin: its input, which is that same output; d(2x): nothing."""
    x = torch.randn(100, requires_grad=True)
    assert saved_for_backward(nn.Identity(), lambda: (2 * x.exp().sin()).sum()) == 400


def test_a_view_counts_as_the_storage_it_keeps_alive():
    network = nn.Linear(4, 4)
    whole = torch.zeros(10, 4)
    assert saved_for_backward(network, lambda: network(whole[:2])) == 4 * 40
    assert saved_for_backward(network, lambda: network(whole[:2]).sum() + network(whole[2:]).sum()) == 4 * 40
    assert saved_for_backward(network, lambda: network(whole[:2]), [whole]) == 0


def test_a_convolution_saves_its_input_and_no_weight():
    network = nn.Conv2d(2, 3, 3, padding=1)
    x = torch.zeros(1, 2, 6, 6)
    assert saved_for_backward(network, lambda: network(x)) == 4 * 2 * 36


@pytest.mark.parametrize(
    "config",
    [
        PRESETS["tiny-digits"],
        preset("tiny-digits", num_classes=10, dropout=0.1),
        preset("tiny-digits", checkpointing=True),
    ],
    ids=["plain", "classes", "checkpointing"],
)
def test_bytes_of_fake_tensors_are_those_of_a_real_forward_pass(config):
    network, x, t = UNet(config).train(), torch.zeros(2, 1, 8, 8), torch.zeros(2, dtype=torch.long)
    y = None if config.num_classes is None else torch.zeros(2, dtype=torch.long)
    assert saved_bytes(config, 2) == saved_for_backward(network, lambda: network(x, t, y))


def test_what_was_counted_is_freed():
    """A saved output that is given back to autograd holds itself, and the whole forward pass with it."""
    network, results = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), []

    def forward() -> Tensor:
        results.append(weakref.ref(result := network(torch.zeros(3, 4))))
        return result

    saved_for_backward(network, forward)
    assert results[0]() is None


def test_activations_are_proportional_to_the_batch():
    one, two, nine = (saved_bytes(PRESETS["tiny-digits"], batch) for batch in (1, 2, 9))
    assert nine - one == 8 * (two - one)


def test_checkpointing_saves_less_than_half():
    config = preset("ho-cifar10")
    assert saved_bytes(config.replace(checkpointing=True)) < saved_bytes(config) / 2


def test_live_bytes_of_a_chain_by_hand():
    """The input does not count, views are their storage, in-place work makes nothing, and what is dropped is free."""
    x = torch.zeros(100)
    with LiveBytes() as live:
        a = x + 1  # 400 bytes
        b = a.view(10, 10) * 2  # 800 bytes
        del a  # 400
        b.relu_()
        c = b[:5] + 1  # 600
        x += 1
        del b
    assert (live.now, live.peak) == (200, 800)
    del c
    assert live.now == 0


def test_sampling_holds_the_widest_moment_of_a_forward_pass():
    config, batch = PRESETS["tiny-digits"], 3
    network, x, t = UNet(config).eval(), torch.zeros(batch, 1, 8, 8), torch.zeros(batch, dtype=torch.long)
    with torch.no_grad(), LiveBytes() as live:
        network(x, t)
    assert sampling_bytes(config, batch) == live.peak
    assert sampling_bytes(config, 2 * batch) == pytest.approx(2 * live.peak, rel=0.01)


def test_memory_of_training_is_that_of_a_real_step():
    """All that is alive at once in forward and backward pass, and what training holds beside it."""
    config, batch = PRESETS["tiny-digits"], 32
    network, x, t = UNet(config), torch.zeros(batch, 1, 8, 8), torch.zeros(batch, dtype=torch.long)
    with LiveBytes() as live:
        network(x, t).square().mean().backward()
    count = sum(p.numel() for p in network.parameters())
    # Gradients are among what is alive; weights, two moments and the average are not. The first activations are gone
    # before the last gradient is there.
    held = live.peak + 4 * 4 * count
    assert held <= training_memory(config, batch) < 1.1 * held


def test_state_is_what_training_holds():
    network = UNet(PRESETS["micro-digits"])
    parameters = list(network.parameters())
    adam, average = Adam(parameters, (0.9, 0.999)), ExponentialMovingAverage(network, 0.9)
    state = state_bytes(sum(p.numel() for p in parameters))

    def size(tensors) -> int:
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors)

    assert state.parameters == state.gradients == size(parameters)
    assert state.adam == size(adam.means) + size(adam.squares)
    assert state.ema == size(average.model.parameters())


@pytest.mark.skipif(sys.platform != "linux", reason="a CPU's peak is measured on Linux alone")
def test_peaks_follow_the_batch_in_training_and_not_the_steps_in_sampling():
    config, batch = PRESETS["tiny-digits"], 64
    half, whole, few, many = peak_memory(
        config, [PeakJob(batch), PeakJob(2 * batch), PeakJob(batch, 2), PeakJob(batch, 202)]
    )
    if whole is None:
        pytest.skip("this system does not let a process read its own peak")
    saved = saved_bytes(config, 2 * batch)
    assert 0.9 * saved < whole < 1.6 * saved
    # x_t of 200 more steps, had they been kept, would be 3 MiB; a peak as the system counts it moves by a third of one.
    assert abs(many - few) < 100 * batch * 64 * 4
    assert half < whole


def test_a_process_that_fails_says_why_in_one_line():
    with pytest.raises(UserError, match="^peak memory could not be measured: .*nowhere") as raised:
        peak_memory(PRESETS["micro-digits"], [PeakJob(1)], device="nowhere")
    assert "\n" not in str(raised.value)
