import pytest
import torch
from diffusers import DDPMScheduler

from rediffuse.diffusion import Denoiser, GaussianMixture, convert
from rediffuse.errors import UserError

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def constant(output):
    return lambda x, t, y=None: output


@pytest.mark.parametrize("prediction", ["eps", "x0", "mu", "v"])
@pytest.mark.parametrize("kept", [None, [0, 200, 600, 999]])
def test_all_predictions_of_one_x0_give_one_reverse_step(linear, prediction, kept):
    x0, xt = normal(2, 1, 3, 3).clamp(-0.9, 0.9), normal(2, 1, 3, 3, seed=1)
    process = linear if kept is None else linear.respace(kept)
    for t in (0, 2, 3):
        output = convert(linear, x0, xt, int(process.timestep_map[t]), "x0", prediction)
        denoised = Denoiser(constant(output), process, prediction=prediction)(xt, t)
        torch.testing.assert_close(denoised.x0, x0, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(denoised.mean, process.q_posterior(x0, xt, t).mean, rtol=1e-8, atol=1e-8)


def test_the_noise_follows_from_the_clipped_x0(linear):
    xt = 3 * normal(2, 1, 3, 3)
    denoised = Denoiser(constant(normal(2, 1, 3, 3, seed=1)), linear)(xt, 900)
    assert float(denoised.x0.abs().max()) == 1.0
    torch.testing.assert_close(linear.q_sample(denoised.x0, 900, denoised.eps), xt, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(denoised.mean, linear.q_posterior(denoised.x0, xt, 900).mean, rtol=1e-13, atol=1e-13)


def test_without_clipping_the_noise_is_the_networks_output(linear):
    output = normal(2, 1, 3, 3, seed=1)
    assert torch.equal(Denoiser(constant(output), linear, clip=False)(normal(2, 1, 3, 3), 900).eps, output)


def test_dynamic_thresholding_limits_each_image_by_its_own_quantile(linear):
    x0 = torch.stack([torch.linspace(-0.5, 0.5, 101, dtype=F64), torch.linspace(-4, 4, 101, dtype=F64)]).reshape(
        2, 1, 101
    )
    denoised = Denoiser(constant(x0), linear, prediction="x0", dynamic_threshold=0.9)(normal(2, 1, 101), 500)
    torch.testing.assert_close(denoised.x0[0], x0[0])
    limit = torch.quantile(x0[1].abs(), 0.9)
    torch.testing.assert_close(denoised.x0[1], x0[1].clamp(-limit, limit) / limit, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(
        linear.q_sample(denoised.x0, 500, denoised.eps), normal(2, 1, 101), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(
    ("variance", "theirs", "steps"),
    [
        ("fixed-large", "fixed_large", (1, 500, 999)),
        ("fixed-small", "fixed_small", (10, 500, 999)),
    ],
)
def test_fixed_variances_agree_with_diffusers(linear, variance, theirs, steps):
    scheduler = DDPMScheduler(1000, variance_type=theirs)
    x = normal(1, 1, 2, 2)
    for t in steps:
        ours = Denoiser(constant(x), linear, variance=variance)(x, t).variance
        # diffusers computes 1 − ᾱ in float32, which leaves 4 digits at t = 10.
        assert float(ours[0, 0, 0, 0]) == pytest.approx(float(scheduler._get_variance(t)), rel=5e-4)


def test_a_step_with_learned_range_agrees_with_diffusers(linear):
    scheduler = DDPMScheduler(1000, variance_type="learned_range", clip_sample=True)
    x, output = normal(2, 3, 4, 4).float(), normal(2, 6, 4, 4, seed=1).float()
    for t in (10, 500, 999):
        ours = Denoiser(constant(output), linear, variance="learned-range")(x, t)
        draw = torch.randn(x.shape, generator=torch.Generator().manual_seed(5))
        theirs = scheduler.step(output, t, x, generator=torch.Generator().manual_seed(5))
        torch.testing.assert_close(ours.x0, theirs.pred_original_sample, rtol=1e-5, atol=2e-4)
        sample = ours.mean + (0.5 * ours.log_variance).exp() * draw
        torch.testing.assert_close(sample, theirs.prev_sample, rtol=1e-4, atol=1e-4)


def test_learned_range_runs_from_beta_tilde_at_minus_one_to_beta_at_plus_one(linear):
    x = normal(1, 1, 2, 2)
    for t in (1, 500):
        ends = []
        for value in (-1.0, 1.0):
            output = torch.cat([x, torch.full_like(x, value)], dim=1)
            ends.append(float(Denoiser(constant(output), linear, variance="learned-range")(x, t).variance[0, 0, 0, 0]))
        assert ends == pytest.approx([float(linear.posterior_variance[t]), float(linear.betas[t])], rel=1e-12)


def test_learned_range_interpolates_in_the_respaced_betas(linear):
    short = linear.respace(range(0, 1000, 50))
    x = normal(1, 1, 2, 2)
    output = torch.cat([x, torch.full_like(x, 0.5)], dim=1)
    log_variance = Denoiser(constant(output), short, variance="learned-range")(x, 7).log_variance
    expected = 0.75 * short.betas[7].log() + 0.25 * short.posterior_variance[7].log()
    assert float(log_variance[0, 0, 0, 0]) == pytest.approx(float(expected), rel=1e-13)


def test_a_learned_variance_is_the_exponential_of_the_output(linear):
    x = normal(1, 1, 2, 2)
    output = torch.cat([x, normal(1, 1, 2, 2, seed=3)], dim=1)
    denoised = Denoiser(constant(output), linear, variance="learned")(x, 30)
    assert torch.equal(denoised.log_variance, output[:, 1:])
    assert torch.equal(denoised.variance, output[:, 1:].exp())


@pytest.mark.parametrize("variance", ["fixed-large", "fixed-small", "learned-range"])
def test_log_variances_are_finite_at_time_zero(linear, variance):
    x = normal(1, 1, 2, 2)
    output = torch.cat([x, x], dim=1) if variance == "learned-range" else x
    assert torch.isfinite(Denoiser(constant(output), linear, variance=variance)(x, 0).log_variance).all()


def test_the_model_is_given_original_times_and_labels(linear):
    seen = []

    def model(x, t, y=None):
        seen.append((t.tolist(), None if y is None else y.tolist()))
        return x

    denoiser = Denoiser(model, linear.respace([4, 700]))
    denoiser(normal(2, 1, 2, 2), 1)
    denoiser.with_labels(torch.tensor([3, 8]))(normal(2, 1, 2, 2), torch.tensor([0, 1]))
    assert seen == [([700, 700], None), ([4, 700], [3, 8])]


def test_times_by_image_equal_one_time_for_all(linear):
    mixture = GaussianMixture(normal(2, 1, 2, 2), torch.tensor(0.04))
    denoiser = Denoiser(mixture.model(linear), linear)
    x = normal(3, 1, 2, 2, seed=4)
    together = denoiser(x, torch.tensor([0, 400, 999]))
    for i, t in enumerate((0, 400, 999)):
        for whole, single in zip(together, denoiser(x[i : i + 1], t), strict=True):
            torch.testing.assert_close(whole[i : i + 1], single, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_every_field_has_the_shape_and_dtype_of_x_even_from_a_half_precision_model(linear, dtype):
    x = normal(2, 1, 3, 3).to(dtype)
    denoised = Denoiser(lambda x, t, y=None: x.to(torch.bfloat16), linear)(x, 5)
    assert all(field.shape == x.shape and field.dtype == dtype for field in denoised)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prediction": "noise"}, "unknown prediction 'noise'"),
        ({"variance": "fixed"}, "unknown variance 'fixed'"),
        ({"dynamic_threshold": 1.5}, "dynamic_threshold is 1.5"),
    ],
)
def test_bad_options_are_refused(linear, options, words):
    with pytest.raises(UserError, match=words):
        Denoiser(constant(None), linear, **options)


@pytest.mark.parametrize(("channels", "variance"), [(1, "learned-range"), (2, "fixed-large")])
def test_an_output_of_the_wrong_number_of_channels_is_refused(linear, channels, variance):
    with pytest.raises(UserError, match="channels of the same size"):
        Denoiser(constant(normal(2, channels, 3, 3)), linear, variance=variance)(normal(2, 1, 3, 3), 5)
