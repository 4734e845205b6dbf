import math

import pytest
import torch

from rediffuse.diffusion import (
    Denoiser,
    DiffusionProcess,
    GaussianMixture,
    bits_per_dim,
    bound_term,
    bound_terms,
    counted_normal,
    decoder_log_likelihood,
    prior_bits_per_dim,
    reverse_gaussian,
)
from rediffuse.errors import UserError

F64 = torch.float64
# Data: a Gaussian of mean 0.1 and deviation 0.25, rounded to 8-bit levels.
GAUSSIAN = GaussianMixture(torch.full((1, 1, 2, 2), 0.1, dtype=F64), torch.tensor(0.0625))


def rounded(mixture, count, seed=0):
    x0, _ = mixture.sample(torch.arange(count), seed)
    return ((x0 + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1


def exact_bits_per_dim(x0):
    """−log2 P(level) under the Gaussian itself, of each image."""
    log_mass = decoder_log_likelihood(x0, torch.full_like(x0, 0.1), math.log(0.0625))
    return -log_mass.flatten(1).mean(1) / math.log(2)


def perfect(process, variance="learned", **options):
    model = GAUSSIAN.model(process, learned_variance=variance == "learned")
    return Denoiser(model, process, variance=variance, clip=False, **options)


X0 = rounded(GAUSSIAN, 400)
KINDS = ("fixed-large", "learned")


def test_the_bound_of_the_exact_reverse_process_is_the_exact_log_likelihood(linear):
    # With a Gaussian's own reverse variance the bound is tight at any number of steps, but for what the width of a bin
    # adds to the last posterior (below 0.002 bits). 40,000 images of 4 pixels; the spread of bound − exact is 0.68 bits
    # by image, so that one standard error is 0.0034, on 7.06.
    x0 = rounded(GAUSSIAN, 40_000, seed=1)
    process = linear.respace(range(0, 1000, 40))
    bound = bits_per_dim(perfect(process), [(x0, torch.arange(40_000))], seed=1)
    gap = bound.per_image - exact_bits_per_dim(x0)
    error = float(gap.std()) / 200
    assert error < 0.004
    assert abs(float(gap.mean())) < 4 * error + 0.002


def test_a_fixed_variance_costs_less_the_more_steps_there_are():
    # Against the exact variance on the same images and noise, whose difference is far less noisy than either.
    costs = []
    for steps in (25, 50, 100):
        process = DiffusionProcess.create("linear", steps)
        fixed, exact = (bits_per_dim(perfect(process, name), [(X0, torch.arange(400))]) for name in KINDS)
        costs.append(fixed.total - exact.total)
    assert costs[0] > 1.2 * costs[1] > 1.4 * costs[2] > 0.05


def test_the_total_is_the_sum_of_its_terms(cosine):
    process = cosine.respace(range(0, 1000, 100))
    bound = bits_per_dim(perfect(process), [(X0[:20], torch.arange(20))])
    assert bound.total == pytest.approx(float(bound.terms.sum()) + bound.prior, rel=1e-12)
    assert bound.decoder == float(bound.terms[0])
    assert bound.timestep_map.tolist() == list(range(0, 1000, 100))


def test_each_term_is_the_divergence_at_its_time(cosine):
    process = cosine.respace(range(0, 1000, 100))
    denoiser, x0, indices = perfect(process), X0[:5], torch.arange(5)
    terms = bound_terms(denoiser, x0, indices, seed=3)
    for t in (0, 4, 9):
        noise = counted_normal(3, indices, t, x0.shape[1:], purpose="likelihood", dtype=F64)
        xt = process.q_sample(x0, t, noise)
        denoised = denoiser(xt, t)
        torch.testing.assert_close(terms.terms[:, t], bound_term(process, x0, xt, t, reverse_gaussian(denoised)))
        torch.testing.assert_close(terms.mse_eps[:, t], (denoised.eps - noise).square().flatten(1).mean(1))
        torch.testing.assert_close(terms.mse_x0[:, t], (denoised.x0 - x0).square().flatten(1).mean(1))


def test_the_prior_is_the_divergence_from_pure_noise(linear):
    ab = linear.alphas_bar[-1]
    expected = 0.5 * (-1 - (1 - ab).log() + (1 - ab) + ab * X0.square().flatten(1).mean(1)) / math.log(2)
    torch.testing.assert_close(prior_bits_per_dim(linear, X0), expected, rtol=1e-9, atol=1e-15)
    single = prior_bits_per_dim(linear, X0.float()).double()
    torch.testing.assert_close(single, expected, rtol=1e-5, atol=1e-9)


def test_the_decoder_term_is_the_mass_of_each_level_under_the_last_step(linear):
    linear = linear.respace([0, 500, 999])
    denoiser = perfect(linear)
    noise = counted_normal(0, torch.arange(5), 0, X0.shape[1:], purpose="likelihood", dtype=F64)
    x1 = linear.q_sample(X0[:5], 0, noise)
    step = denoiser(x1, 0)
    upper, lower = ((X0[:5] + side / 255 - step.mean) / step.variance.sqrt() for side in (1, -1))
    mass = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    expected = -mass.log().flatten(1).mean(1) / math.log(2)
    terms = bound_terms(denoiser, X0[:5], torch.arange(5))
    torch.testing.assert_close(terms.terms[:, 0], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("variance", ["fixed-large", "fixed-small", "learned"])
def test_float32_agrees_with_float64(linear, variance):
    # In float32 the noise itself is rounded: what is compared is the bound, by term and in total.
    denoiser, indices = perfect(linear.respace(range(0, 1000, 5)), variance), torch.arange(20)
    exact = bits_per_dim(denoiser, [(X0[:20], indices)])
    single = bits_per_dim(denoiser, [(X0[:20].float(), indices)])
    torch.testing.assert_close(single.terms, exact.terms, rtol=1e-5, atol=1e-6)
    assert single.total == pytest.approx(exact.total, rel=1e-5)


def test_a_hopeless_model_has_a_finite_bound_in_float32(linear):
    process = linear.respace(range(0, 1000, 50))
    denoiser = Denoiser(lambda x, t, y=None: torch.full_like(x, -1.0), process, prediction="x0", variance="fixed-small")
    bound = bits_per_dim(denoiser, [(X0[:10].float(), torch.arange(10))])
    assert math.isfinite(bound.total)
    assert bound.total > 100


def test_the_bound_of_an_image_does_not_depend_on_its_batch(cosine):
    denoiser, indices = perfect(cosine.respace(range(0, 1000, 100))), torch.arange(10)
    whole = bits_per_dim(denoiser, [(X0[:10], indices)])
    parts = bits_per_dim(denoiser, [(X0[:3], indices[:3]), (X0[3:10], indices[3:])])
    torch.testing.assert_close(whole.per_image, parts.per_image, rtol=1e-13, atol=0)
    torch.testing.assert_close(whole.terms, parts.terms, rtol=1e-13, atol=1e-16)
    assert whole.total == pytest.approx(parts.total, rel=1e-13)


def test_the_standard_error_is_that_of_the_mean_over_images(cosine):
    bound = bits_per_dim(perfect(cosine.respace([0, 500, 999])), [(X0[:50], torch.arange(50))])
    assert bound.standard_error == pytest.approx(float(bound.per_image.std()) / math.sqrt(50))


def test_labels_reach_the_model(cosine):
    seen = []

    def model(x, t, y=None):
        seen.append(y)
        return x

    denoiser = Denoiser(model, cosine.respace([0, 999]))
    bits_per_dim(denoiser, [(X0[:2], torch.arange(2), torch.tensor([4, 5]))])
    assert [labels.tolist() for labels in seen] == [[4, 5], [4, 5]]


def test_given_noise_replaces_the_counted_one(cosine):
    denoiser = perfect(cosine.respace([0, 500, 999]))
    zero = bound_terms(denoiser, X0[:4], torch.arange(4), noise=lambda t: torch.zeros_like(X0[:4]))
    other = bound_terms(denoiser, X0[:4], torch.arange(4) + 50, noise=lambda t: torch.zeros_like(X0[:4]))
    assert torch.equal(zero.terms, other.terms)


def test_progress_is_told_each_time_from_last_to_first(cosine):
    seen = []
    bits_per_dim(perfect(cosine.respace([0, 500, 999])), [(X0[:2], torch.arange(2))], on_step=seen.append)
    assert seen == [2, 1, 0]


def test_the_published_decoder_may_be_chosen(cosine):
    denoiser = perfect(cosine.respace([0, 500, 999]))
    exact, tanh = (bound_terms(denoiser, X0[:50], torch.arange(50), decoder=name) for name in ("exact", "tanh"))
    assert torch.equal(exact.terms[:, 1:], tanh.terms[:, 1:])
    difference = (exact.terms[:, 0] - tanh.terms[:, 0]).mean()
    assert 0 < abs(float(difference)) < 0.02


def test_no_images_are_refused(cosine):
    with pytest.raises(UserError, match="at least one batch"):
        bits_per_dim(perfect(cosine.respace([0, 999])), [])


def test_images_and_indices_must_match(cosine):
    with pytest.raises(UserError, match="one for each image"):
        bound_terms(perfect(cosine.respace([0, 999])), X0[:3], torch.arange(2))
