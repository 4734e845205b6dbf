import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from rediffuse.diffusion import decoder_log_likelihood, discretized_gaussian_log_likelihood, normal_kl
from rediffuse.diffusion.gaussian import log_ndtr_difference
from rediffuse.errors import UserError

F64 = torch.float64


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def levels(*shape, seed=0):
    integers = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed))
    return integers.double() / 127.5 - 1


def test_the_divergence_is_the_integral_of_the_log_ratio():
    m1, lv1, m2, lv2 = 0.3, -1.0, -0.4, 0.2
    p, q = stats.norm(m1, math.exp(lv1 / 2)), stats.norm(m2, math.exp(lv2 / 2))
    expected = quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -8, 8)[0]
    arguments = [torch.tensor([value], dtype=F64) for value in (m1, lv1, m2, lv2)]
    assert float(normal_kl(*arguments)) == pytest.approx(expected, rel=1e-9)


def test_the_divergence_matches_its_textbook_form():
    m1, lv1, m2, lv2 = (normal(50, seed=seed) for seed in range(4))
    expected = 0.5 * (-1 + lv2 - lv1 + torch.exp(lv1 - lv2) + (m1 - m2) ** 2 * torch.exp(-lv2))
    torch.testing.assert_close(normal_kl(m1, lv1, m2, lv2), expected, rtol=1e-10, atol=1e-14)


def test_the_divergence_broadcasts_numbers():
    m, lv = normal(2, 3), normal(2, 3, seed=1)
    torch.testing.assert_close(normal_kl(m, lv, 0.0, 0.0), normal_kl(m, lv, torch.zeros_like(m), torch.zeros_like(m)))


def test_the_divergence_of_nearly_equal_gaussians_keeps_its_digits_in_float32():
    lv1 = torch.tensor([1e-3], dtype=F64)
    exact = normal_kl(torch.zeros(1, dtype=F64), lv1, 0.0, 0.0)
    single = normal_kl(torch.zeros(1), lv1.float(), 0.0, 0.0)
    # The textbook form is wrong by 20 % here: it subtracts 1 from 1 + 1e-3 in 7 digits.
    assert float(single) == pytest.approx(float(exact), rel=2e-4)


@pytest.mark.parametrize("deviation", [0.002, 0.02, 0.3, 3.0])
def test_the_decoder_is_the_mass_of_the_bin(deviation):
    x = levels(200)
    mean = x + deviation * normal(200, seed=1)
    log_variance = torch.full_like(x, 2 * math.log(deviation))
    lower, upper = (x - 1 / 255 - mean).numpy() / deviation, (x + 1 / 255 - mean).numpy() / deviation
    lower[x == -1], upper[x == 1] = -np.inf, np.inf
    # The survival function on the right, so that the reference does not cancel.
    mass = np.where(
        lower > 0, stats.norm.sf(lower) - stats.norm.sf(upper), stats.norm.cdf(upper) - stats.norm.cdf(lower)
    )
    np.testing.assert_allclose(decoder_log_likelihood(x, mean, log_variance), np.log(mass), rtol=1e-9, atol=1e-10)


def test_the_masses_of_all_256_levels_sum_to_one():
    x = torch.arange(256, dtype=F64) / 127.5 - 1
    for mean, deviation in ((0.1, 0.01), (-1.3, 0.5), (0.98, 2.0)):
        total = decoder_log_likelihood(x, torch.full_like(x, mean), 2 * math.log(deviation)).exp().sum()
        assert float(total) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("level", "side"), [(-1.0, -1), (1.0, 1)])
def test_the_end_bins_reach_to_infinity(level, side):
    x, mean = torch.tensor([level], dtype=F64), torch.tensor([side * 3.0], dtype=F64)
    assert float(decoder_log_likelihood(x, mean, math.log(0.01))) == pytest.approx(0.0, abs=1e-12)


def test_the_decoder_is_finite_and_exact_far_in_the_tails_in_float32():
    x, log_variance = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]), torch.full((5,), 2 * math.log(0.01))
    mean = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0])
    single = decoder_log_likelihood(x, mean, log_variance)
    exact = decoder_log_likelihood(x.double(), mean.double(), log_variance.double())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-6, atol=0)
    # log Φ(−z) ≈ −z²/2 − log z − ½ log 2π at z = (2 − 1/255)/0.01; the log-variance given has 7 digits.
    z = (2 - 1 / 255) / 0.01
    assert float(exact[0]) == pytest.approx(-(z**2) / 2 - math.log(z) - 0.5 * math.log(2 * math.pi), rel=1e-6)


def test_float32_agrees_with_float64_in_the_bulk():
    x = levels(1000)
    mean, log_variance = x + 0.05 * normal(1000, seed=1), -6 + normal(1000, seed=2)
    exact = decoder_log_likelihood(x, mean, log_variance)
    single = decoder_log_likelihood(x.float(), mean.float(), log_variance.float()).double()
    torch.testing.assert_close(single, exact, rtol=1e-5, atol=2e-5)


def test_the_decoders_gradient_is_finite_everywhere():
    x = levels(500)
    mean = (x + 0.5 * normal(500, seed=1)).requires_grad_()
    log_variance = torch.linspace(-14, 4, 500, dtype=F64).requires_grad_()
    decoder_log_likelihood(x, mean, log_variance).sum().backward()
    assert torch.isfinite(mean.grad).all()
    assert torch.isfinite(log_variance.grad).all()
    assert (mean.grad.abs() > 0).all()


def test_the_decoders_gradient_is_the_derivative():
    x, mean, log_variance = levels(6), levels(6, seed=1).requires_grad_(), (normal(6, seed=2) - 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda m, lv: decoder_log_likelihood(x, m, lv), (mean, log_variance))


def test_differences_of_the_normal_distribution_function_keep_their_digits_in_both_tails():
    upper = torch.tensor([-30.0, -1.0, 0.5, 8.0, 40.0], dtype=F64)
    lower = upper - 0.01
    mirrored = log_ndtr_difference(-lower, -upper)
    torch.testing.assert_close(log_ndtr_difference(upper, lower), mirrored, rtol=1e-12, atol=0)
    middle = (upper + lower) / 2
    # ∫φ over a width h is φ(m) h (1 + (m² − 1) h²/24 + …).
    series = -(middle**2) / 2 - 0.5 * math.log(2 * math.pi) + math.log(0.01) + torch.log1p((middle**2 - 1) * 1e-4 / 24)
    torch.testing.assert_close(log_ndtr_difference(upper, lower), series, rtol=1e-6, atol=1e-4)


def published_decoder(x, means, log_scales):
    """`discretized_gaussian_log_likelihood` of DDPM's and IDDPM's code, for one number."""

    def cdf(value):
        return 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (value + 0.044715 * value**3)))

    upper, lower = ((x - means + side / 255) * math.exp(-log_scales) for side in (1, -1))
    if x < -0.999:
        return math.log(max(cdf(upper), 1e-12))
    if x > 0.999:
        return math.log(max(1 - cdf(lower), 1e-12))
    return math.log(max(cdf(upper) - cdf(lower), 1e-12))


def test_the_published_decoder_is_reproduced_floor_included():
    x = torch.cat([levels(300), torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=F64)])
    means, log_scales = normal(304, seed=1), normal(304, seed=2) - 2
    expected = [published_decoder(*row) for row in zip(x.tolist(), means.tolist(), log_scales.tolist(), strict=True)]
    ours = discretized_gaussian_log_likelihood(x, means, log_scales)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-10)
    assert float(ours.min()) == pytest.approx(math.log(1e-12))
    torch.testing.assert_close(decoder_log_likelihood(x, means, 2 * log_scales, decoder="tanh"), ours)


def test_the_published_approximation_is_within_a_hundredth_of_a_nat_near_the_mean():
    x = levels(2000)
    mean = x + 0.02 * normal(2000, seed=1)
    exact, tanh = (decoder_log_likelihood(x, mean, 2 * math.log(0.02), decoder=name) for name in ("exact", "tanh"))
    near = (x - mean).abs() < 0.04
    assert float((exact - tanh)[near].abs().max()) < 0.02
    assert float((exact - tanh).mean().abs()) < 0.005


def test_an_unknown_decoder_is_refused():
    with pytest.raises(UserError, match="unknown decoder 'logistic'; choose one of exact, tanh"):
        decoder_log_likelihood(levels(2), levels(2), 0.0, decoder="logistic")
