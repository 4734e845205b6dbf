import pytest
import torch

from rediffuse.diffusion import (
    DiffusionProcess,
    GaussianMixture,
    MixtureVelocity,
    VelocityField,
    draw_times,
    generator,
    interpolant_losses,
    interpolate,
)
from rediffuse.diffusion.interpolant import (
    path_velocity,
    to_x0_and_noise,
)
from rediffuse.errors import UserError

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


X0, NOISE, TIMES = normal(4, 2, 3), normal(4, 2, 3, seed=1), torch.tensor([0.1, 0.3, 0.6, 0.95], dtype=F64)


def test_the_path_starts_at_data_and_ends_at_noise():
    assert torch.equal(interpolate(X0, NOISE, 0.0), X0)
    assert torch.equal(interpolate(X0, NOISE, 1.0), NOISE)


def test_the_velocity_is_the_derivative_of_the_path():
    step = 1e-6
    slope = (interpolate(X0, NOISE, TIMES + step) - interpolate(X0, NOISE, TIMES - step)) / (2 * step)
    torch.testing.assert_close(path_velocity(X0, NOISE), slope, rtol=1e-7, atol=1e-8)


def test_the_velocity_gives_back_data_and_noise():
    xt = interpolate(X0, NOISE, TIMES)
    x0, noise = to_x0_and_noise(xt, path_velocity(X0, NOISE), TIMES)
    torch.testing.assert_close(x0, X0, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(noise, NOISE, rtol=1e-12, atol=1e-13)


def test_the_score_follows_from_the_velocity_of_known_data():
    mixture = GaussianMixture(normal(3, 2, 3, seed=2), torch.tensor(0.1))
    field, x = VelocityField(MixtureVelocity(mixture)), normal(4, 2, 3, seed=3)
    for t in (0.2, 0.9):
        score = -to_x0_and_noise(x, field(x, t), t)[1] / t
        torch.testing.assert_close(score, mixture.score(x, 1 - t, t), rtol=1e-8, atol=1e-9)


def test_a_diffusion_network_gives_the_velocity_through_the_matching_level():
    # The same mixture, read as diffusion at the ᾱ of process step t and as a path at the time with the same SNR.
    mixture, process = (
        GaussianMixture(normal(3, 2, 3, seed=2), torch.tensor(0.1)),
        DiffusionProcess.create("linear", 100),
    )
    x, step = normal(4, 2, 3, seed=3), 40
    ab = process.alphas_bar[step]
    t = float((1 - ab).sqrt() / (ab.sqrt() + (1 - ab).sqrt()))
    scale = ((1 - t) ** 2 + t**2) ** 0.5
    eps = mixture.model(process)(x, torch.full((4,), step))
    velocity = (eps - scale * x) / (1 - t)
    torch.testing.assert_close(VelocityField(MixtureVelocity(mixture))(scale * x, t), velocity, rtol=1e-9, atol=1e-9)


def test_the_loss_is_the_mean_squared_error_of_the_velocity():
    output = normal(4, 2, 3, seed=4)
    losses = interpolant_losses(lambda x, t, y=None: output, X0, TIMES, NOISE)
    torch.testing.assert_close(losses.loss, ((NOISE - X0 - output) ** 2).mean(dim=(1, 2)))
    assert losses.vlb is None


def test_the_l1_loss_is_the_mean_absolute_error_of_the_velocity():
    output = normal(4, 2, 3, seed=4)
    losses = interpolant_losses(lambda x, t, y=None: output, X0, TIMES, NOISE, loss="l1")
    torch.testing.assert_close(losses.loss, (NOISE - X0 - output).abs().mean(dim=(1, 2)))


def test_the_network_sees_the_point_the_scaled_time_and_the_labels():
    seen = {}

    def model(x, t, y=None):
        seen.update(x=x, t=t, y=y)
        return x

    labels = torch.tensor([0, 1, 2, 3])
    interpolant_losses(model, X0, TIMES, NOISE, y=labels)
    torch.testing.assert_close(seen["x"], interpolate(X0, NOISE, TIMES))
    torch.testing.assert_close(seen["t"], 1000 * TIMES)
    assert seen["y"] is labels


def test_one_time_serves_a_whole_batch():
    field = VelocityField(lambda x, t, y=None: x * t.reshape(-1, 1, 1))
    torch.testing.assert_close(field(X0, 0.5), field(X0, torch.full((4,), 0.5, dtype=F64)))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_everything_keeps_the_callers_dtype(dtype):
    x0, noise = X0.to(dtype), NOISE.to(dtype)
    losses = interpolant_losses(lambda x, t, y=None: x.to(torch.bfloat16), x0, TIMES, noise)
    assert interpolate(x0, noise, TIMES).dtype == losses.loss.dtype == dtype


def test_uniform_times_fill_the_open_interval():
    t = draw_times(20_000, generator(0, "t"))
    assert t.dtype == F64
    assert 0 < float(t.min()) < 1e-3
    assert 0.999 < float(t.max()) < 1
    # The standard deviation of the mean is 0.002.
    assert float(t.mean()) == pytest.approx(0.5, abs=0.008)


def test_logit_normal_times_are_the_logistic_of_a_normal():
    logit = torch.logit(draw_times(20_000, generator(0, "t"), "logit-normal"))
    assert float(logit.mean()) == pytest.approx(0, abs=0.03)
    assert float(logit.std()) == pytest.approx(1, abs=0.02)


def test_unknown_names_and_shapes_are_refused():
    with pytest.raises(UserError, match="unknown distribution 'beta'"):
        draw_times(3, generator(0), "beta")
    with pytest.raises(UserError, match="unknown loss 'vlb' for an interpolant"):
        interpolant_losses(lambda x, t, y=None: x, X0, TIMES, NOISE, loss="vlb")
    with pytest.raises(UserError, match="velocity has x's shape"):
        VelocityField(lambda x, t, y=None: torch.cat([x, x], dim=1))(X0, 0.5)
