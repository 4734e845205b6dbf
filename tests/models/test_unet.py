"""The U-Net: the properties that training and sampling rely on."""

from collections.abc import Callable

import pytest
import torch

from rediffuse.errors import UserError
from rediffuse.models import PRESETS, UNet, preset
from rediffuse.models.blocks import group_count


def test_a_fresh_network_predicts_zero(images: Callable) -> None:
    config = PRESETS["micro-digits"]
    output = UNet(config)(images(config), torch.tensor([0, 500, 999]))
    assert torch.count_nonzero(output) == 0


@pytest.mark.parametrize("conditioning", ["additive", "scale-shift"])
def test_the_timestep_changes_the_prediction(awake: Callable, images: Callable, conditioning: str) -> None:
    config = preset("micro-digits", time_conditioning=conditioning)
    model = awake(UNet(config))
    x = images(config, 1)
    assert not torch.allclose(model(x, torch.tensor([0])), model(x, torch.tensor([999])), atol=1e-3)


def test_without_the_time_input_the_timestep_changes_nothing(awake: Callable, images: Callable) -> None:
    config = preset("micro-digits", use_time=False)
    model = awake(UNet(config))
    x = images(config, 1)
    assert torch.equal(model(x, torch.tensor([0])), model(x, torch.tensor([999])))


def test_one_shared_timestep_equals_the_same_timestep_for_every_image(awake: Callable, images: Callable) -> None:
    config = preset("micro-digits", num_classes=2)
    model = awake(UNet(config))
    x, y = images(config), torch.tensor([0, 1, 2])
    torch.testing.assert_close(
        model(x, torch.tensor([7]), y),
        model(x, torch.full((3,), 7), y),
        rtol=1e-5,
        atol=1e-6,
    )


def test_an_image_is_predicted_alike_alone_and_in_a_batch(awake: Callable, images: Callable) -> None:
    config = PRESETS["micro-digits"]
    model = awake(UNet(config))
    x, t = images(config), torch.tensor([3, 500, 999])
    alone = torch.cat([model(x[i : i + 1], t[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model(x, t), alone, rtol=1e-5, atol=1e-6)


def test_the_channels_last_layout_gives_the_same_prediction(awake: Callable, images: Callable) -> None:
    config = PRESETS["tiny-digits"]
    model = awake(UNet(config))
    x, t = images(config), torch.tensor([3, 500, 999])
    expected = model(x, t)
    output = model.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last), t)
    torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)


def test_inference_without_gradients_gives_the_same_prediction_as_with_them(awake: Callable, images: Callable) -> None:
    config = PRESETS["tiny-digits"]
    model = awake(UNet(config))
    x, t = images(config), torch.tensor([3, 500, 999])
    with torch.no_grad():
        silent = model(x, t)
    torch.testing.assert_close(silent, model(x, t), rtol=1e-6, atol=1e-6)


def test_missing_labels_mean_the_null_token(awake: Callable, images: Callable) -> None:
    config = preset("micro-digits", num_classes=10)
    model = awake(UNet(config))
    x, t = images(config), torch.tensor([3, 500, 999])
    torch.testing.assert_close(model(x, t), model(x, t, torch.full((3,), 10)), rtol=1e-5, atol=1e-6)


def test_the_label_changes_the_prediction(awake: Callable, images: Callable) -> None:
    config = preset("micro-digits", num_classes=10)
    model = awake(UNet(config))
    x, t = images(config, 1), torch.tensor([3])
    assert not torch.allclose(model(x, t, torch.tensor([0])), model(x, t, torch.tensor([1])), atol=1e-3)


def test_labels_for_an_unconditional_network_are_refused(images: Callable) -> None:
    config = PRESETS["micro-digits"]
    with pytest.raises(UserError, match="without classes"):
        UNet(config)(images(config), torch.tensor([0]), torch.tensor([1, 2, 3]))


def test_images_whose_halvings_break_the_skips_are_refused() -> None:
    model = UNet(preset("micro-digits", multipliers=(1, 1, 1, 1), attention=()))
    with pytest.raises(UserError, match="28x28 .* multiple of 8"):
        model(torch.zeros(1, 1, 28, 28), torch.tensor([0]))


def test_skips_of_scales_join_what_each_scale_gave_before_its_halving(awake: Callable, images: Callable) -> None:
    # Document D3, figure 8: down1, down2, mid1, mid2, up1(skip2), up2(skip1).
    config = preset("micro-digits", skips="scales", use_time=False)
    model, x = awake(UNet(config)), images(config)
    down1, down2 = model.down
    up0, up1, up2 = model.up
    skip1 = down1.stages[0](model.input(x), None)
    skip2 = down2.stages[0](down1.resample(skip1), None)
    lowest = model.middle[1](model.middle[0](down2.resample(skip2), None), None)
    assert lowest.shape == (3, 16, 2, 2)
    joined2 = up1.stages[0](torch.cat([up0.resample(lowest), skip2], dim=1), None)
    joined1 = up2.stages[0](torch.cat([up1.resample(joined2), skip1], dim=1), None)
    expected = model.output(torch.nn.functional.silu(model.norm(joined1)))
    torch.testing.assert_close(model(x, torch.tensor([0])), expected, rtol=1e-5, atol=1e-6)


def test_skips_of_scales_need_one_more_halving() -> None:
    with pytest.raises(UserError, match="12x12 .* 3 halvings.* multiple of 8"):
        preset("micro-digits", image_size=12, multipliers=(1, 1, 1), attention=(), skips="scales")


def test_larger_images_that_fit_the_halvings_are_accepted() -> None:
    model = UNet(PRESETS["micro-digits"])
    assert model(torch.zeros(1, 1, 12, 10), torch.tensor([0])).shape == (1, 1, 12, 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 28, "multipliers": (1, 2, 2, 4)}, "multiple of 8"),
        ({"multipliers": ()}, r"multipliers is \(\); the list should have at least 1 item, not 0"),
        ({"out_channels": 3}, "must be 1, or 2"),
        ({"attention": (16,)}, r"\[16\].*\[8, 4\]"),
        ({"heads": 3}, "must divide the 16 channels"),
        ({"channels": 7}, "even number"),
        ({"dropout": 1.0}, "dropout is 1.0; .* less than 1"),
        ({"num_classes": 0}, "num_classes is 0"),
        ({"blocks": 0}, "blocks is 0"),
        ({"time_scale": 0.0}, "time_scale is 0.0"),
    ],
)
def test_a_shape_that_cannot_work_is_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        preset("micro-digits", **changes)


@pytest.mark.parametrize(
    ("channels", "limit", "groups"),
    [(128, 32, 32), (384, 32, 32), (64, 32, 32), (16, 32, 8), (48, 8, 8), (20, 8, 5)],
)
def test_every_normalisation_group_keeps_two_channels_or_more(channels: int, limit: int, groups: int) -> None:
    assert group_count(channels, limit) == groups


@pytest.mark.parametrize(
    "changes",
    [
        {"downsample": "average"},
        {"downsample_padding": "symmetric"},
        {"shortcut": "3x3"},
        {"middle_attention": False, "attention": ()},
        {"heads": 2},
        {"time_order": "cos-sin", "time_frequency_shift": 0},
        {"initialisation": "torch"},
        {"skips": "scales", "blocks": 2},
    ],
)
def test_every_variant_trains_every_parameter(awake: Callable, changes: dict) -> None:
    model = awake(UNet(preset("micro-digits", **changes)))
    model(torch.randn(4, 1, 8, 8), torch.tensor([1, 10, 100, 900])).square().mean().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert idle == []


def test_dropout_acts_in_training_and_not_in_evaluation(awake: Callable, images: Callable) -> None:
    config = preset("micro-digits", dropout=0.5)
    model = awake(UNet(config))
    x, t = images(config), torch.tensor([3, 500, 999])
    assert torch.equal(model(x, t), model(x, t))
    model.train()
    assert not torch.equal(model(x, t), model(x, t))
