"""Restoration with a perfect unconditional model of a few known pictures with a little variation."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.analytic import GaussianMixture
from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.errors import UserError
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.partial import renoise, sample_from
from rediffuse.samplers.restoration import (
    denoise,
    denoise_by_sampling,
    downsample,
    inpaint,
    matching_timestep,
    psnr,
    repaint_times,
    super_resolve,
    upsample,
)

WHOLE = DiffusionProcess.create("linear", 1000)
SHAPE = (1, 4, 4)
COUNT = 40


@pytest.fixture
def pictures() -> GaussianMixture:
    draw = torch.Generator().manual_seed(2)
    means = torch.rand(4, *SHAPE, generator=draw, dtype=torch.float64) * 1.4 - 0.7
    return GaussianMixture(means, torch.full((4, *SHAPE), 0.05**2))


@pytest.fixture
def images(pictures) -> Tensor:
    return pictures.sample(torch.arange(COUNT), seed=9)[0]


@pytest.fixture
def denoiser(pictures, exact_denoiser) -> Denoiser:
    return exact_denoiser(pictures, WHOLE.respace(range(0, 1000, 27)))


def noise(seed: int = 0) -> SampleNoise:
    return SampleNoise(seed, torch.arange(COUNT), SHAPE, dtype=torch.float64)


def test_psnr_of_a_known_error():
    x = torch.zeros(2, *SHAPE)
    shifted = x + torch.tensor([0.2, 0.02]).reshape(2, 1, 1, 1)
    assert psnr(shifted, x).tolist() == pytest.approx([20.0, 40.0], abs=1e-4)
    assert psnr(shifted, x, data_range=1.0)[0] == pytest.approx(20.0 - 20 * math.log10(2), abs=1e-4)
    assert torch.isinf(psnr(x, x)).all()


def test_repaint_walks_each_stretch_as_often_as_asked():
    assert repaint_times(4) == [3, 2, 1, 0, -1]
    assert repaint_times(4, resamples=2) == [3, 2, 3, 2, 1, 2, 1, 0, 1, 0, -1]
    times = repaint_times(20, jump=5, resamples=3)
    assert all(abs(a - b) == 1 for a, b in itertools.pairwise(times))
    downs = [a for a, b in itertools.pairwise(times) if b < a]
    assert [downs.count(t) for t in range(20)] == [1] + [3] * 15 + [1] * 4
    assert times[0] == 19
    assert times[-1] == -1


def test_inpainting_keeps_the_known_pixels_and_finds_the_picture_they_belong_to(pictures, images, denoiser):
    mask = torch.zeros(SHAPE)
    mask[..., :2] = 1
    plain = inpaint(denoiser, noise(), images, mask)
    assert torch.equal(plain[..., :2], images[..., :2])
    repainted = inpaint(denoiser, noise(), images, mask, jump=4, resamples=6)
    truth = pictures.responsibilities(images).argmax(1)

    def agreement(x: Tensor) -> float:
        # Judged by the unknown half alone.
        distance = (x[:, None] - pictures.means)[..., 2:].square().flatten(2).sum(2)
        return float((distance.argmin(1) == truth).double().mean())

    assert agreement(ddim(denoiser, noise())) < 0.5
    # Four pictures far apart: replacement alone often settles on the wrong one, and going back up mends that.
    assert agreement(repainted) > 0.9
    assert agreement(repainted) > agreement(plain) + 0.1
    assert float(psnr(repainted, images).mean()) > 25


@pytest.mark.parametrize(("jump", "resamples"), [(1, 1), (1, 4), (5, 3)])
def test_going_back_up_keeps_the_distribution_where_nothing_is_known(jump, resamples, unit_noises):
    gaussian = GaussianMixture(torch.full((1, 1, 1, 1), 0.2), torch.full((1, 1, 1, 1), 0.09))
    process = WHOLE.respace(range(0, 1000, 27))
    # With the exact reverse variance of Gaussian data every single step is exact, however long.
    denoiser = Denoiser(gaussian.model(process, learned_variance=True), process, variance="learned", clip=False)
    nothing = torch.zeros(501, 1, 1, 1, dtype=torch.float64)
    x = inpaint(denoiser, unit_noises(500), nothing, nothing, jump=jump, resamples=resamples)
    # The last step gives E[x0 | x_t], which has a little less than the data's variance.
    level = float(process.alphas_bar[0])
    target = 0.09**2 * level / (0.09 * level + 1 - level)
    # The map is linear: the squares of its coefficients add up to the variance of the samples.
    assert float((x - x[0]).square().sum()) == pytest.approx(target, rel=1e-6)


def test_inpainting_costs_one_evaluation_for_each_downward_move(images, denoiser):
    seen = []
    inpaint(
        denoiser, noise(), images, torch.ones(SHAPE), jump=3, resamples=2, callback=lambda k, t, x, d: seen.append(k)
    )
    times = repaint_times(denoiser.process.num_timesteps, jump=3, resamples=2)
    assert seen == list(range(sum(b < a for a, b in itertools.pairwise(times))))


def test_super_resolution_agrees_with_the_small_image_and_beats_enlargement(images, denoiser):
    low = downsample(images)
    psnrs = {}
    for eta in (0.0, 1.0):
        x = super_resolve(denoiser, noise(), low, eta=eta)
        torch.testing.assert_close(downsample(x), low, rtol=0, atol=1e-12)
        psnrs[eta] = float(psnr(x, images).mean())
    assert min(psnrs.values()) > float(psnr(upsample(low), images).mean()) + 4


def test_enlargement_is_the_pseudo_inverse_of_reduction(images):
    low = downsample(images)
    torch.testing.assert_close(downsample(upsample(low)), low, rtol=0, atol=1e-15)
    # The rows of A pinv(A) = 1 and the symmetry of pinv(A) A are what make it the Moore-Penrose inverse.
    basis = torch.eye(16, dtype=torch.float64).reshape(16, *SHAPE)
    projector = upsample(downsample(basis)).reshape(16, 16)
    torch.testing.assert_close(projector, projector.T, rtol=0, atol=1e-15)


def test_an_image_that_does_not_divide_is_refused():
    with pytest.raises(UserError, match="3x4"):
        downsample(torch.zeros(1, 1, 3, 4))


def test_denoising_is_the_posterior_mean_at_the_matching_level(pictures, images, exact_denoiser):
    denoiser = exact_denoiser(pictures, WHOLE)
    sigma = 0.3
    noisy = images + sigma * noise(4).initial()
    restored = denoise(denoiser, noisy, sigma)
    # The matching step's sigma is within half a step of 0.3.
    torch.testing.assert_close(restored, pictures.posterior(noisy, 1.0, sigma)[0], rtol=0, atol=2e-3)
    sampled = denoise_by_sampling(denoiser, noisy, sigma, noise(5))
    gains = [float(psnr(x, images).mean()) for x in (restored, sampled, noisy)]
    assert gains[0] > gains[1] + 1
    assert gains[1] > gains[2] + 5


def test_the_matching_step_has_the_noise_level_asked_for(pictures, exact_denoiser):
    denoiser = exact_denoiser(pictures, WHOLE)
    for t in (0, 10, 500, 999):
        sigma = float(((1 - WHOLE.alphas_bar[t]) / WHOLE.alphas_bar[t]) ** 0.5)
        assert matching_timestep(denoiser, sigma) == t
    with pytest.raises(UserError, match="positive"):
        matching_timestep(denoiser, 0.0)


def test_sampling_from_the_last_step_is_sampling_from_the_start(denoiser):
    x = sample_from(denoiser, noise().initial(), denoiser.process.num_timesteps - 1, noise(), run=ddim)
    assert torch.equal(x, ddim(denoiser, noise()))
    with pytest.raises(UserError, match="0 to 37"):
        sample_from(denoiser, noise().initial(), 38, noise())


def test_an_image_noised_again_strays_further_the_later_the_step(images, denoiser):
    distances = [float((renoise(denoiser, images, t, noise(3)) - images).square().mean()) for t in (1, 12, 37)]
    assert distances == sorted(distances)
    # A few steps back it is still the same picture; from pure noise it is any.
    assert distances[0] < 2 * 0.05**2
    assert distances[2] > 0.05
