import pytest
import torch
from diffusers import DDPMScheduler

from rediffuse.diffusion import SCHEDULES, DiffusionProcess, respaced_timesteps
from rediffuse.errors import UserError

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_product_of_one_step_transitions_is_the_closed_form(schedule):
    process = DiffusionProcess.create(schedule, 1000)
    # x_t = scale x_0 + noise of that variance, carried along the chain by q_step's own coefficients.
    one, nothing = torch.ones(1, dtype=F64), torch.zeros(1, dtype=F64)
    scale, variance = one, nothing
    for t in range(1000):
        step = process.q_step(nothing, t, one)
        keep = process.q_step(one, t, nothing)
        scale, variance = keep * scale, keep**2 * variance + step**2
        if t in (0, 1, 250, 500, 999):
            closed = process.q_mean_variance(one, t)
            torch.testing.assert_close(scale, closed.mean, rtol=1e-11, atol=1e-15)
            torch.testing.assert_close(variance, closed.variance, rtol=1e-11, atol=1e-15)


def test_iterated_steps_have_the_moments_of_the_closed_form(linear):
    # 200,000 draws: standard errors of mean and variance are 0.0022 and 0.0032 of a unit; the tolerance is 4 of them.
    process = linear.respace(range(0, 1000, 100))
    x = torch.full((200_000,), 0.7, dtype=F64)
    for t in range(process.num_timesteps - 3):
        x = process.q_step(x, t, normal(200_000, seed=t))
    closed = process.q_mean_variance(torch.tensor([0.7], dtype=F64), process.num_timesteps - 4)
    deviation = float(closed.variance.sqrt())
    assert float(x.mean()) == pytest.approx(float(closed.mean), abs=0.009 * deviation)
    assert float(x.var()) == pytest.approx(float(closed.variance), rel=0.013)


def test_q_sample_is_the_mean_plus_deviation_times_noise(linear):
    x0, noise, t = normal(4, 3, 2, 2), normal(4, 3, 2, 2, seed=1), torch.tensor([0, 10, 500, 999])
    q = linear.q_mean_variance(x0, t)
    torch.testing.assert_close(
        linear.q_sample(x0, t, noise), q.mean + q.variance.sqrt() * noise, rtol=1e-13, atol=1e-14
    )
    torch.testing.assert_close(q.log_variance, q.variance.log(), rtol=1e-13, atol=1e-15)


def test_the_posterior_is_bayes_rule_on_the_joint_gaussian(linear):
    # Precisions add: q(x_{t-1}|x_t,x_0) ∝ N(x_{t-1}; √ᾱ_prev x0, 1-ᾱ_prev) N(x_t; √α x_{t-1}, β).
    x0, xt = normal(1, 5), normal(1, 5, seed=1)
    for t in (1, 2, 500, 999):
        before, alpha, beta = linear.q_mean_variance(x0, t - 1), linear.alphas[t], linear.betas[t]
        precision = 1 / before.variance + alpha / beta
        mean = (before.mean / before.variance + alpha.sqrt() / beta * xt) / precision
        posterior = linear.q_posterior(x0, xt, t)
        torch.testing.assert_close(posterior.variance, 1 / precision, rtol=1e-11, atol=0)
        torch.testing.assert_close(posterior.mean, mean, rtol=1e-10, atol=1e-13)


def test_the_posterior_matches_monte_carlo_of_the_chain():
    # Of 4,000,000 draws, those whose x_t falls within ±0.02 of a value: about 30,000, so 4 standard errors are 2.3 %
    # of a standard deviation for the mean, and 3.3 % of the variance.
    process = DiffusionProcess(torch.tensor([0.2, 0.3], dtype=F64))
    x0 = torch.full((4_000_000,), 0.5, dtype=F64)
    before = process.q_step(x0, 0, normal(4_000_000))
    after = process.q_step(before, 1, normal(4_000_000, seed=1))
    kept = before[(after - 0.9).abs() < 0.02]
    posterior = process.q_posterior(x0[:1], torch.tensor([0.9], dtype=F64), 1)
    assert float(kept.mean()) == pytest.approx(float(posterior.mean), abs=0.025 * float(posterior.variance.sqrt()))
    assert float(kept.var()) == pytest.approx(float(posterior.variance), rel=0.035)


def test_the_posterior_at_time_zero_is_x0_itself_with_a_finite_log_variance(linear):
    x0, x1 = normal(2, 3), normal(2, 3, seed=1)
    posterior = linear.q_posterior(x0, x1, 0)
    torch.testing.assert_close(posterior.mean, x0, rtol=1e-12, atol=1e-14)
    assert torch.equal(posterior.variance, torch.zeros_like(x0))
    assert float(posterior.log_variance[0, 0]) == pytest.approx(float(linear.posterior_variance[1].log()), rel=1e-14)


@pytest.mark.parametrize(("schedule", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_tables_and_samples_agree_with_diffusers(schedule, theirs):
    process = DiffusionProcess.create(schedule, 1000)
    scheduler = DDPMScheduler(1000, beta_schedule=theirs, variance_type="fixed_small")
    x0, noise, t = normal(5, 3, 4, 4).float(), normal(5, 3, 4, 4, seed=1).float(), torch.tensor([0, 1, 300, 700, 999])
    torch.testing.assert_close(process.q_sample(x0, t, noise), scheduler.add_noise(x0, noise, t), rtol=1e-5, atol=1e-5)
    for step in (1, 10, 500, 998):
        theirs_variance = float(scheduler._get_variance(step))
        # diffusers subtracts a float32 ᾱ near 1 from 1, which leaves 3 to 4 digits at the first steps.
        assert float(process.posterior_variance[step]) == pytest.approx(theirs_variance, rel=5e-4)


def test_the_expected_energy_of_a_pixel_is_alpha_bar_times_its_energy_plus_the_noise(linear):
    # 400,000 draws of unit-energy data: 4 standard errors of the mean of a square are 0.9 %.
    x0 = torch.sign(normal(400_000, seed=2))
    for t in (0, 200, 999):
        energy = float(linear.q_sample(x0, t, normal(400_000, seed=t)).square().mean())
        assert energy == pytest.approx(1.0, rel=0.009)


@pytest.mark.parametrize("method", ["q_sample", "q_step", "q_posterior_mean"])
@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.bfloat16])
def test_methods_keep_the_callers_dtype(linear, method, dtype):
    x = normal(3, 2, 4, 4).to(dtype)
    t = torch.tensor([0, 5, 999])
    arguments = (x, x, t) if method == "q_posterior_mean" else (x, t, x)
    assert getattr(linear, method)(*arguments).dtype == dtype


def test_float32_agrees_with_float64(linear):
    x0, noise, t = normal(4, 3, 8, 8), normal(4, 3, 8, 8, seed=1), torch.tensor([0, 1, 500, 999])
    exact, single = linear.q_sample(x0, t, noise), linear.q_sample(x0.float(), t, noise.float())
    torch.testing.assert_close(single.double(), exact, rtol=1e-6, atol=1e-6)
    for one, other in zip(linear.q_posterior(x0.float(), single, t), linear.q_posterior(x0, exact, t), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-6, atol=2e-6)


def test_an_int_time_equals_a_vector_of_that_time(linear):
    x0, xt = normal(3, 2, 4, 4).float(), normal(3, 2, 4, 4, seed=1).float()
    for t in (0, 7, 999):
        vector = torch.full((3,), t)
        for one, other in zip(linear.q_posterior(x0, xt, t), linear.q_posterior(x0, xt, vector), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-7)
            assert one.shape == other.shape == x0.shape


@pytest.mark.parametrize("t", [-1, 1000, torch.tensor([0, -1]), torch.tensor([1000, 0])])
def test_a_time_outside_the_process_is_refused_and_never_wraps(linear, t):
    x = normal(2, 3)
    with pytest.raises(UserError, match=r"outside 0…999"):
        linear.q_sample(x, t, x)


@pytest.mark.parametrize("spec", [10, "ddim25", "20,5,5"])
def test_respacing_keeps_the_marginals_of_the_kept_steps(cosine, spec):
    kept = respaced_timesteps(1000, spec)
    short = cosine.respace(kept)
    # β' is near 1 at the last step of a short process, so that 1 − β' loses digits: ᾱ is 2.4e-9 there.
    torch.testing.assert_close(short.alphas_bar, cosine.alphas_bar[kept], rtol=2e-9, atol=0)
    assert short.timestep_map.tolist() == kept


def test_respacing_to_every_step_changes_nothing(linear):
    same = linear.respace(range(1000))
    torch.testing.assert_close(same.betas, linear.betas, rtol=1e-10, atol=0)


def test_respacing_twice_keeps_the_original_times(linear):
    twice = linear.respace(range(0, 1000, 10)).respace([0, 50, 99])
    assert twice.timestep_map.tolist() == [0, 500, 990]
    assert twice.origin is linear
    torch.testing.assert_close(twice.alphas_bar, linear.alphas_bar[[0, 500, 990]], rtol=1e-11, atol=0)


def test_the_network_is_given_the_original_time(linear):
    short = linear.respace([3, 500, 999])
    x = normal(2, 1)
    assert short.model_time(1, x).tolist() == [500, 500]
    assert short.model_time(torch.tensor([2, 0]), x).tolist() == [999, 3]


def test_the_network_is_given_fractional_times_as_they_are(linear):
    between = DiffusionProcess(linear.betas[:3], torch.tensor([0.25, 1.5, 2.75], dtype=F64))
    x = normal(2, 1)
    assert between.model_time(1, x).tolist() == [1.5, 1.5]
    assert torch.equal(between.model_time(2, x), between.model_time(torch.tensor([2, 2]), x))


def test_a_process_of_one_step_has_finite_tables(linear):
    one = linear.respace([999])
    assert one.num_timesteps == 1
    assert torch.isfinite(one.posterior_log_variance_clipped).all()
    assert torch.isfinite(one.fixed_large_variance).all()


@pytest.mark.parametrize("kept", [[], [-1, 3], [0, 1000]])
def test_steps_that_do_not_exist_cannot_be_kept(linear, kept):
    with pytest.raises(UserError, match=r"0…999"):
        linear.respace(kept)


@pytest.mark.parametrize("betas", [[], [0.0, 0.1], [0.1, 1.0], [0.1, float("nan")], [[0.1]]])
def test_betas_that_are_no_schedule_are_refused(betas):
    with pytest.raises(UserError, match="betas"):
        DiffusionProcess(torch.tensor(betas, dtype=F64))


def test_the_signal_to_noise_ratio_falls_at_every_step(cosine, linear):
    for process in (linear, cosine):
        assert (process.snr.diff() < 0).all()
        torch.testing.assert_close(process.snr, process.alphas_bar / (1 - process.alphas_bar), rtol=1e-14, atol=0)
