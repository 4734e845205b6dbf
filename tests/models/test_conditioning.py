"""What the network is told of time and class: the sinusoid, the widths of its embedding, layers on a class's vector."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from diffusers.models.embeddings import get_timestep_embedding

from rediffuse.errors import UserError
from rediffuse.models import UNet, preset
from rediffuse.models.conditioning import sinusoidal_embedding

TIMES = torch.tensor([0, 1, 17, 500, 999])


@pytest.mark.parametrize("width", [4, 5, 32, 33, 128])
@pytest.mark.parametrize(("order", "shift"), [("sin-cos", 1), ("cos-sin", 0)])
def test_the_sinusoid_is_that_of_diffusers_for_even_and_odd_widths(width: int, order: str, shift: int) -> None:
    theirs = get_timestep_embedding(TIMES, width, flip_sin_to_cos=order == "cos-sin", downscale_freq_shift=shift)
    ours = sinusoidal_embedding(TIMES, width, order=order, frequency_shift=shift)
    assert ours.shape == (5, width)
    # Angles of up to 999 in float32 are known to 6e-5.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("width", "shift", "least"), [(3, 1, 4), (2, 1, 4), (1, 0, 2)])
def test_a_width_without_room_for_its_frequencies_is_refused(width: int, shift: int, least: int) -> None:
    with pytest.raises(UserError, match=f"width {width} is too narrow; use at least {least}"):
        sinusoidal_embedding(TIMES, width, frequency_shift=shift)


def test_the_embedding_has_the_widths_that_are_asked_for() -> None:
    # Document D1, section 3.1.3: a sinusoid of four times the base channels.
    model = UNet(preset("micro-digits", time_sinusoid=4, time_width=2, num_classes=3))
    assert tuple(model.time.linear1.weight.shape) == (2 * 8, 4 * 8)
    assert tuple(model.time.linear2.weight.shape) == (16, 16)
    assert tuple(model.classes.weight.shape) == (3 + 1, 16)
    assert model.projection.in_features == 16


def test_the_class_passes_two_layers_before_it_meets_the_time(awake: Callable, images: Callable) -> None:
    # Document D1, eq. 17: e = MLP_t(e_t) + MLP_y(v_y), with a vector for "no label" too.
    config = preset("micro-digits", num_classes=3, class_mlp=True)
    model = awake(UNet(config))
    seen = []
    model.projection.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().numpy()))
    model(images(config), torch.tensor([7]), torch.tensor([0, 2, 3]))
    weights = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}

    def mlp(part: str, x: np.ndarray) -> np.ndarray:
        hidden = x @ weights[f"{part}.linear1.weight"].T + weights[f"{part}.linear1.bias"]
        hidden = hidden / (1 + np.exp(-hidden))
        return hidden @ weights[f"{part}.linear2.weight"].T + weights[f"{part}.linear2.bias"]

    sinusoid = sinusoidal_embedding(torch.tensor([7]), 8).double().numpy()
    context = mlp("time", sinusoid) + mlp("classes", weights["classes.weight"][[0, 2, 3]])
    np.testing.assert_allclose(seen[0], context / (1 + np.exp(-context)), rtol=1e-4, atol=1e-5)


def test_layers_on_the_class_leave_the_null_token_for_missing_labels(awake: Callable, images: Callable) -> None:
    config = preset("micro-digits", num_classes=10, class_mlp=True)
    model = awake(UNet(config))
    x, t = images(config), torch.tensor([3, 500, 999])
    torch.testing.assert_close(model(x, t), model(x, t, torch.full((3,), 10)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("changes", [{"time_sinusoid": 3}, {"time_width": 1}, {"num_classes": 2, "class_mlp": True}])
def test_every_width_trains_every_parameter(awake: Callable, changes: dict) -> None:
    model = awake(UNet(preset("micro-digits", **changes)))
    y = torch.tensor([0, 1, 2, 2]) if "num_classes" in changes else None
    model(torch.randn(4, 1, 8, 8), torch.tensor([1, 10, 100, 900]), y).square().mean().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_a_network_without_time_may_have_an_odd_number_of_channels() -> None:
    assert UNet(preset("micro-digits", channels=7, use_time=False)).config.widths == (7, 14)
