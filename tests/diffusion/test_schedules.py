import math

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from rediffuse.diffusion import SCHEDULES, DiffusionProcess, make_betas, respaced_timesteps
from rediffuse.diffusion.named_schedules import scaled_ends
from rediffuse.errors import UserError


def test_linear_betas_are_those_of_ho_at_1000_steps():
    np.testing.assert_allclose(make_betas("linear", 1000), np.linspace(1e-4, 0.02, 1000), rtol=0, atol=1e-17)


def test_linear_betas_scale_with_the_number_of_steps():
    np.testing.assert_allclose(make_betas("linear", 4000), np.linspace(2.5e-5, 0.005, 4000), rtol=1e-14)


def test_cosine_betas_follow_iddpm_eq_17_and_are_clipped_only_at_0_999():
    def f(t):
        return math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2

    expected = [min(1 - f(t + 1) / f(t), 0.999) for t in range(1000)]
    betas = make_betas("cosine", 1000)
    np.testing.assert_allclose(betas, expected, rtol=1e-14)
    assert betas[0] < 5e-5
    assert betas[-1] == 0.999


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("linear", "linear"), ("cosine", "squaredcos_cap_v2"), ("quadratic", "scaled_linear"), ("sigmoid", "sigmoid")],
)
def test_betas_and_alphas_bar_agree_with_diffusers(ours, theirs):
    scheduler = DDPMScheduler(1000, beta_schedule=theirs)
    process = DiffusionProcess.create(ours, 1000)
    np.testing.assert_allclose(process.betas, scheduler.betas, rtol=1e-5, atol=1e-8)
    # diffusers multiplies a thousand factors in float32.
    np.testing.assert_allclose(process.alphas_bar, scheduler.alphas_cumprod, rtol=1e-5, atol=1e-7)


def test_the_square_root_of_quadratic_betas_rises_linearly():
    steps = make_betas("quadratic", 1000).sqrt().diff()
    np.testing.assert_allclose(steps, (0.02**0.5 - 0.01) / 999, rtol=1e-9)


def test_sigmoid_betas_are_symmetric_about_the_middle():
    betas = make_betas("sigmoid", 1000)
    np.testing.assert_allclose(betas + betas.flip(0), 0.0201, rtol=1e-12)


def test_piecewise_betas_have_three_slopes_and_the_mean_of_the_linear_ones():
    betas = make_betas("piecewise", 1000)
    slopes = betas.diff()
    assert len(torch.unique((slopes[[10, 100, 300, 400, 500, 600, 700, 800, 990]] * 1e12).round())) == 2
    assert slopes[500] > 2 * slopes[100]
    assert float(betas.mean()) == pytest.approx(0.01005, rel=1e-3)


def test_the_quadratic_schedule_of_document_d4_rises_from_its_first_beta_as_the_square_of_time():
    expected = [1e-4 + (0.02 - 1e-4) * (t / 999) ** 2 for t in range(1000)]
    np.testing.assert_allclose(make_betas("d4-quadratic", 1000), expected, rtol=1e-12)
    # The square's mean is a third: ᾱ_T ≈ exp(−1000 (1e-4 + 0.0199/3)) to first order in β.
    assert float(DiffusionProcess.create("d4-quadratic", 1000).alphas_bar[-1]) == pytest.approx(1.1e-3, rel=0.05)
    assert float(DiffusionProcess.create("quadratic", 1000).alphas_bar[-1]) == pytest.approx(7.3e-4, rel=0.01)


def test_the_three_pieces_of_document_d4_end_where_it_says():
    # Exercise 3.2: 1e-4 to 5e-4 in the first 200 steps, to 0.016 until step 800, to 0.02 at the end.
    betas = make_betas("d4-piecewise", 1000).numpy()
    expected = np.empty(1000)
    for first, end, low, high in ((0, 200, 1e-4, 5e-4), (200, 800, 5e-4, 0.016), (800, 1000, 0.016, 0.02)):
        for t in range(first, end):
            expected[t] = low + (high - low) * (t - first) / (end - 1 - first)
    np.testing.assert_allclose(betas, expected, rtol=1e-12)
    assert float(np.prod(1 - betas)) == pytest.approx(1.7e-4, rel=0.05)
    assert float(DiffusionProcess.create("piecewise", 1000).alphas_bar[-1]) == pytest.approx(4.0e-5, rel=0.02)


def test_three_pieces_whose_middle_would_fall_are_refused():
    with pytest.raises(UserError, match=r"beta_start=0.1 is above 0.16 of beta_end=0.2"):
        make_betas("d4-piecewise", 100, beta_start=0.1, beta_end=0.2)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("timesteps", [21, 100, 1000, 4000])
def test_every_schedule_ends_near_pure_noise_whatever_the_number_of_steps(schedule, timesteps):
    process = DiffusionProcess.create(schedule, timesteps)
    assert process.betas.dtype == torch.float64
    assert process.alphas_bar[-1] < 2e-3


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "cosine"])
@pytest.mark.parametrize("timesteps", [1, 10, 20])
def test_too_few_steps_for_a_rising_schedule_are_refused_with_the_least_number(schedule, timesteps):
    with pytest.raises(UserError, match="at least 21 timesteps"):
        make_betas(schedule, timesteps)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_number_of_steps_is_allowed_without_tensors_exactly_where_the_process_can_be_made(schedule):
    def works(make, timesteps):
        try:
            make(schedule, timesteps)
        except UserError:
            return False
        return True

    every = range(1, 60)
    assert [works(scaled_ends, t) for t in every] == [works(DiffusionProcess.create, t) for t in every]


def test_explicit_ends_are_used_as_they_are():
    np.testing.assert_allclose(make_betas("linear", 10, beta_start=0.1, beta_end=0.5), np.linspace(0.1, 0.5, 10))


@pytest.mark.parametrize(
    ("schedule", "timesteps", "options", "words"),
    [
        ("linera", 100, {}, "schedule 'linera' is unknown; use one of linear"),
        ("linear", 0, {}, "at least 1"),
        ("linear", 100, {"beta_end": 0.5}, "both beta_start and beta_end"),
        ("linear", 100, {"beta_start": 0.5, "beta_end": 0.1}, "beta_start <= beta_end"),
        ("linear", 100, {"beta_start": 0.5, "beta_end": 1.0}, "beta_end < 1"),
        ("cosine", 100, {"beta_start": 0.1, "beta_end": 0.2}, "cosine schedule takes no"),
    ],
)
def test_a_bad_schedule_is_refused_in_one_line(schedule, timesteps, options, words):
    with pytest.raises(UserError, match=words) as caught:
        make_betas(schedule, timesteps, **options)
    assert "\n" not in str(caught.value)


def test_one_step_of_the_cosine_schedule_is_allowed():
    assert make_betas("cosine", 1).tolist() == [0.999]


# The rules of IDDPM's `space_timesteps`, in its own terms: values computed by hand.
@pytest.mark.parametrize(
    ("timesteps", "spec", "kept"),
    [
        (10, 4, [0, 3, 6, 9]),
        (10, "4", [0, 3, 6, 9]),
        (11, 3, [0, 5, 10]),
        (10, 1, [0]),
        (10, 10, list(range(10))),
        (10, "2,3", [0, 4, 5, 7, 9]),
        (10, [2, 3], [0, 4, 5, 7, 9]),
        (11, "1,2", [0, 6, 10]),
        (6, 4, [0, 2, 3, 5]),
        (10, "ddim5", [0, 2, 4, 6, 8]),
        (1000, "ddim4", [0, 250, 500, 750]),
    ],
)
def test_respacing_keeps_the_steps_iddpm_keeps(timesteps, spec, kept):
    assert respaced_timesteps(timesteps, spec) == kept


def test_the_strides_of_fifty_ddim_steps_start_at_zero():
    assert respaced_timesteps(1000, "ddim50") == list(range(0, 1000, 20))


@pytest.mark.parametrize("count", [2, 7, 50, 99, 250, 999])
def test_a_count_keeps_exactly_that_many_steps_and_both_ends(count):
    kept = respaced_timesteps(1000, count)
    assert len(set(kept)) == count
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (0, 999)


@pytest.mark.parametrize("count", [5, 10, 20])
def test_quadratic_spacing_is_that_of_ddim(count):
    expected = [int(s) for s in np.linspace(0, np.sqrt(1000 * 0.8), count) ** 2]
    assert respaced_timesteps(1000, count, "quadratic") == expected


def test_quadratic_spacing_keeps_a_repeated_small_step_once():
    kept = respaced_timesteps(1000, 100, "quadratic")
    assert kept == sorted(set(kept))
    assert set(kept) == {int(s) for s in np.linspace(0, np.sqrt(1000 * 0.8), 100) ** 2}


@pytest.mark.parametrize(
    ("spec", "spacing", "words"),
    [
        (101, "uniform", "1 to 100 steps"),
        (0, "uniform", "1 to 100 steps"),
        ("90,5", "uniform", "section 0 has 50 of 100"),
        ("ddim70", "uniform", "no integer stride"),
        ("ddimx", "uniform", "cannot read the steps 'ddimx'"),
        ("ten", "uniform", "cannot read the steps"),
        ("-5", "uniform", "cannot read the steps"),
        ([], "uniform", "1 to 100 steps"),
        ("10,10", "quadratic", "takes one count"),
        ("ddim10", "quadratic", "takes one count"),
        (10, "cubic", "unknown spacing"),
    ],
)
def test_a_bad_request_for_steps_is_refused_in_one_line(spec, spacing, words):
    with pytest.raises(UserError, match=words) as caught:
        respaced_timesteps(100, spec, spacing)
    assert "\n" not in str(caught.value)
