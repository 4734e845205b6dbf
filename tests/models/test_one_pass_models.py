"""DCGAN's networks, WGAN-GP's critic and the VAE: shapes, sizes, initial weights, and the parts of the bound."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from rediffuse.diffusion.gaussian import decoder_log_likelihood
from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.errors import UserError
from rediffuse.models.dcgan import Discriminator, Generator
from rediffuse.models.vae import VAE


def parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (3, 32, 32), (1, 64, 64)])
def test_a_generator_makes_images_of_the_data_set_and_a_discriminator_one_number_of_each(shape):
    images = Generator(5, 4, shape)(torch.randn(3, 5))
    assert images.shape == (3, *shape)
    assert images.abs().max() <= 1
    for norm in ("batch", "layer", "none"):
        assert Discriminator(4, shape, norm)(images).shape == (3,)


def test_at_64_pixels_the_networks_have_the_sizes_of_the_published_implementation():
    # PyTorch's own DCGAN example (nz = 100, ngf = ndf = 64, nc = 3); layer by layer: 4·4·(100·512 + 512·256 + 256·128 +
    # 128·64 + 64·3) weights and two a channel of the norms, and the mirror image.
    assert parameters(Generator(100, 64, (3, 64, 64))) == 3_576_704
    assert parameters(Discriminator(64, (3, 64, 64))) == 2_765_568


@pytest.mark.parametrize("side", [4, 12, 28])
def test_a_side_that_is_no_power_of_two_of_at_least_8_is_refused(side: int):
    with pytest.raises(UserError, match=f"power of two of at least 8, not {side}"):
        Generator(5, 4, (1, side, side))


def test_images_that_are_not_square_are_refused():
    with pytest.raises(UserError, match="square images, not 8×16"):
        Discriminator(4, (1, 8, 16))


def test_initial_weights_have_the_papers_spread():
    torch.manual_seed(0)
    weights = Generator(100, 64, (3, 32, 32)).layers[3].weight
    # Half a million draws: the standard error of the spread is 0.1 % of it.
    assert weights.std().item() == pytest.approx(0.02, rel=5e-3)
    assert abs(weights.mean().item()) < 2e-4


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_a_critic_judges_each_image_by_itself(norm):
    torch.manual_seed(0)
    critic, images = Discriminator(8, (1, 16, 16), norm), torch.randn(4, 1, 16, 16)
    together, alone = critic(images), torch.cat([critic(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


def test_batch_normalisation_would_mix_them():
    torch.manual_seed(0)
    critic, images = Discriminator(8, (1, 16, 16), "batch"), torch.randn(4, 1, 16, 16)
    assert (critic(images)[:1] - critic(images[:2])[:1]).abs().item() > 1e-3


def test_the_kl_of_a_vae_is_that_of_torch_distributions():
    torch.manual_seed(0)
    vae = VAE(6, 4, (1, 8, 8)).double()
    x = to_unit_range(torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8)).double()
    mean, log_variance = vae.posterior(x)
    ours = vae.bound(x, torch.zeros(5, 6, dtype=torch.float64))[1]
    posterior = Independent(Normal(mean, torch.exp(0.5 * log_variance)), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    torch.testing.assert_close(ours, kl_divergence(posterior, prior), atol=0, rtol=1e-12)


def test_the_likelihood_of_a_vae_is_a_distribution_over_8_bit_levels():
    torch.manual_seed(0)
    vae = VAE(3, 4, (1, 8, 8)).double()
    z = torch.randn(1, 3, dtype=torch.float64)
    levels = (torch.arange(256).double() / 127.5 - 1)[:, None, None, None].expand(-1, 1, 8, 8)
    pixels = decoder_log_likelihood(levels, vae.decoder(z).expand(256, -1, -1, -1), 2 * vae.log_std)
    # Each pixel's probabilities of its 256 levels add up to 1, and an image's is the product over pixels.
    torch.testing.assert_close(pixels.exp().sum(0), torch.ones(1, 8, 8, dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(vae.log_likelihood(levels, z.expand(256, -1)), pixels.flatten(1).sum(1))


def test_the_bound_never_exceeds_the_evidence_and_meets_it_at_the_true_posterior():
    # A linear decoder μ = w z + b makes p(x) a Gaussian in closed form: N(b, w wᵀ + σ² I), and its posterior N(m, V)
    # with V = 1 / (1 + ‖w‖²/σ²), m = V wᵀ(x − b)/σ². With bins far narrower than σ, the mass is density times 2/255.
    vae = VAE(1, 2, (1, 8, 8)).double()
    torch.manual_seed(1)
    weight, bias, sigma = 0.05 * torch.randn(64).double(), 0.05 * torch.randn(64).double(), 0.2

    class Linear(torch.nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return (z * weight + bias).reshape(-1, 1, 8, 8)

    x = to_unit_range(torch.randint(110, 146, (4, 1, 8, 8), dtype=torch.uint8)).double()
    flat = x.flatten(1)
    covariance = torch.outer(weight, weight) + sigma**2 * torch.eye(64, dtype=torch.float64)
    evidence = torch.distributions.MultivariateNormal(bias, covariance).log_prob(flat) + 64 * math.log(2 / 255)
    variance = 1 / (1 + (weight @ weight) / sigma**2)
    mean = variance * ((flat - bias) @ weight)[:, None] / sigma**2
    vae.decoder = Linear()  # type: ignore[assignment]
    vae.log_std.data.fill_(math.log(sigma))

    def negative_bound(shift: float) -> torch.Tensor:
        vae.posterior = lambda _: (mean + shift, variance.log().expand_as(mean))  # type: ignore[method-assign]
        # Gauss–Hermite nodes take the expectation over z exactly: the integrand is a quadratic of it.
        nodes, weights = map(torch.from_numpy, np.polynomial.hermite_e.hermegauss(8))
        parts = [sum(vae.bound(x, node.expand(4, 1))) * share for node, share in zip(nodes, weights, strict=True)]
        return sum(parts) / weights.sum()  # type: ignore[return-value]

    # A bin of width h under N(μ, σ²) has the mass of the density at its middle times h to order (h/σ)²/24 = 6e-5.
    torch.testing.assert_close(negative_bound(0.0), -evidence, atol=64 * 1e-4, rtol=0)
    assert (negative_bound(0.5) > -evidence + 0.05).all()
