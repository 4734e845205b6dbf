"""Optimiser, moving average, learning rate, options and history, each against its definition."""

import math

import pytest
import torch
from torch import nn

from rediffuse.diffusion.objectives import Losses
from rediffuse.errors import UserError
from rediffuse.hardware import Hardware
from rediffuse.training import TrainingConfig
from rediffuse.training.adam import Adam
from rediffuse.training.ema import ExponentialMovingAverage
from rediffuse.training.history import Interval
from rediffuse.training.learning_rate import learning_rate


def test_adam_follows_its_definition() -> None:
    weights = torch.tensor([1.0, -2.0], requires_grad=True)
    adam = Adam([weights], (0.8, 0.95))
    expected, m, v = torch.tensor([1.0, -2.0], dtype=torch.float64), 0.0, 0.0
    for step in range(1, 6):
        gradient = torch.tensor([0.3 * step, -1.0 / step])
        weights.grad = gradient.clone()
        adam.step(0.1)
        m = 0.8 * m + 0.2 * gradient.double()
        v = 0.95 * v + 0.05 * gradient.double() ** 2
        expected -= 0.1 * (m / (1 - 0.8**step)) / ((v / (1 - 0.95**step)).sqrt() + 1e-8)
    torch.testing.assert_close(weights.detach().double(), expected, rtol=1e-6, atol=1e-6)
    assert weights.grad is None


def test_adam_leaves_weights_without_a_gradient_alone() -> None:
    used, unused = (torch.ones(2, requires_grad=True) for _ in range(2))
    used.sum().backward()
    Adam([unused, used], (0.9, 0.999)).step(0.1)
    assert used.tolist() == pytest.approx([0.9, 0.9])
    assert unused.tolist() == [1.0, 1.0]


def averaged(decay: float, warmup: bool, values: list[float]) -> float:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1.0)
    ema = ExponentialMovingAverage(model, decay, warmup=warmup)
    for value in values:
        nn.init.constant_(model.weight, value)
        ema.update()
    return ema.model.weight.item()


def test_the_average_follows_the_weights_by_its_decay() -> None:
    assert averaged(0.9, False, [2.0, 3.0]) == pytest.approx(0.9 * (0.9 * 1.0 + 0.1 * 2.0) + 0.1 * 3.0, abs=1e-6)


def test_the_average_with_warmup_forgets_the_first_weights_soon() -> None:
    expected = 1.0
    for t, value in enumerate([2.0, 3.0, 4.0]):
        decay = min(0.9999, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * value
    assert averaged(0.9999, True, [2.0, 3.0, 4.0]) == pytest.approx(expected, abs=1e-6)


def test_an_average_of_decay_zero_equals_the_weights() -> None:
    assert averaged(0.0, False, [0.1, 0.3]) == torch.tensor(0.3).item()


def test_the_learning_rate_warms_up_linearly_and_then_stays() -> None:
    config = TrainingConfig(steps=10, learning_rate=1.0, warmup=4)
    assert [learning_rate(step, config) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_cosine_reaches_its_minimum_at_the_last_step_and_its_middle_half_way() -> None:
    config = TrainingConfig(steps=12, learning_rate=1.0, warmup=2, decay="cosine", min_learning_rate=0.2)
    assert learning_rate(6, config) == pytest.approx(0.6)
    assert learning_rate(11, config) == pytest.approx(0.2)
    rates = [learning_rate(step, config) for step in range(2, 12)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0; .* greater than 0"),
        ({"accumulate": 3}, "accumulate: 3 does not divide batch_size 8"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; .* greater than 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan; .* finite"),
        ({"min_learning_rate": 1.0}, "min_learning_rate: 1.0 exceeds learning_rate"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0; .* less than 1"),
        ({"label_dropout": -0.1}, "label_dropout is -0.1; .* greater than or equal to 0"),
        ({"clip_norm": -1.0}, "clip_norm is -1.0; .* greater than or equal to 0"),
        ({"decay": "linear"}, "decay is 'linear'; .* 'constant' or 'cosine'"),
        ({"timestep_sampling": "log"}, "timestep_sampling is 'log'; .* 'uniform' or 'loss-second-moment'"),
        ({"preview_steps": (0, 5)}, "preview_steps.0 is 0; .* greater than 0"),
        ({"preview_steps": (5, 11)}, "preview_steps: 11 lies beyond the last step 10"),
        ({"checkpoint_every": 0}, "checkpoint_every is 0; .* greater than 0"),
        ({"warmup": 10}, "warmup: 10 does not end before the last step 10"),
        ({"momentum": 0.9}, "momentum is no option here"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        TrainingConfig(**{"steps": 10, "batch_size": 8, "warmup": 0, **options})
    assert "\n" not in str(caught.value)


def test_a_precision_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="precision is 'float16'; .* 'float32' or 'bfloat16'"):
        Hardware(precision="float16")


def test_options_are_checked_again_when_some_are_replaced() -> None:
    config = TrainingConfig(steps=10, warmup=0)
    assert config.replace(steps=20).steps == 20
    with pytest.raises(UserError, match="steps is 0"):
        config.replace(steps=0)


def record(interval: Interval, t: list[int], loss: list[float], norm: float = 1.0, weights: list[float] | None = None):
    values = torch.tensor(loss)
    interval.record(
        torch.tensor(t),
        torch.ones(len(t), dtype=torch.float64) if weights is None else torch.tensor(weights, dtype=torch.float64),
        Losses(values, values * 2, None),
        torch.tensor(norm),
        0.5,
    )


def test_a_row_holds_the_means_of_its_interval_by_quartile_of_t() -> None:
    interval = Interval(3, 2, 100, has_vlb=False, device="cpu")
    record(interval, [0, 24], [1.0, 2.0], norm=1.0)
    record(interval, [25, 99], [3.0, 4.0], norm=3.0)
    row = interval.row(2)
    assert row == {
        "step": 2,
        "loss": 2.5,
        "loss_q1": 1.5,
        "loss_q2": 3.0,
        "loss_q3": None,
        "loss_q4": 4.0,
        "mse": 5.0,
        "grad_norm": 2.0,
        "learning_rate": 0.5,
    }


def test_a_row_weighs_the_loss_but_not_its_quartiles_by_importance() -> None:
    interval = Interval(1, 2, 4, has_vlb=False, device="cpu")
    record(interval, [0, 3], [1.0, 2.0], weights=[0.5, 3.0])
    row = interval.row(1)
    assert (row["loss"], row["loss_q1"], row["loss_q4"]) == (3.25, 1.0, 2.0)


def test_a_row_starts_the_next_interval() -> None:
    interval = Interval(1, 1, 4, has_vlb=False, device="cpu")
    record(interval, [0], [1.0])
    interval.row(1)
    record(interval, [0], [5.0])
    assert interval.row(2)["loss"] == 5.0


def test_an_interval_goes_on_from_its_saved_state() -> None:
    whole, part, rest = (Interval(2, 1, 4, has_vlb=False, device="cpu") for _ in range(3))
    for interval in (whole, part):
        record(interval, [1], [1.0])
    rest.load_state_dict(part.state_dict())
    for interval in (whole, rest):
        record(interval, [2], [4.0])
    assert rest.row(2) == whole.row(2)


@pytest.mark.parametrize(
    ("losses", "norms", "expected"),
    [
        ([1.0, math.nan, math.nan], [1.0, math.nan, math.nan], (1, "loss")),
        ([1.0, 1.0, math.inf], [1.0, math.inf, math.nan], (1, "gradient norm")),
        ([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], None),
    ],
)
def test_the_first_step_that_is_not_finite_is_named(
    losses: list[float], norms: list[float], expected: tuple[int, str] | None
) -> None:
    interval = Interval(3, 1, 4, has_vlb=False, device="cpu")
    for loss, norm in zip(losses, norms, strict=True):
        record(interval, [0], [loss], norm=norm)
    bad = interval.first_bad_step()
    assert (bad and bad[:2]) == expected
