"""The losses of GANs against hand computation, and WGAN-GP on Gaussians whose distance is known."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from rediffuse.diffusion.randomness import generator
from rediffuse.training.adam import Adam
from rediffuse.training.adversarial import discriminator_loss, generator_loss, gradient_penalty


def test_a_discriminator_at_chance_loses_2_ln_2():
    assert discriminator_loss(torch.zeros(3), torch.zeros(5)).item() == pytest.approx(2 * math.log(2), rel=1e-6)


def test_the_losses_are_cross_entropies_of_the_logits():
    real, fake = torch.tensor([0.3, -1.2]), torch.tensor([2.0, -0.4])
    chance = [1 / (1 + math.exp(-v)) for v in (0.3, -1.2, 2.0, -0.4)]
    wanted = -(math.log(chance[0]) + math.log(chance[1])) / 2 - (math.log(1 - chance[2]) + math.log(1 - chance[3])) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(wanted, rel=1e-6)
    assert generator_loss(fake).item() == pytest.approx(-(math.log(chance[2]) + math.log(chance[3])) / 2, rel=1e-6)


def test_the_penalty_of_a_linear_critic_is_that_of_its_slope():
    slope = torch.tensor([3.0, 4.0])
    real, fake = torch.randn(6, 2), torch.randn(6, 2)
    penalty = gradient_penalty(lambda x: x @ slope, real, fake, torch.rand(6))
    assert penalty.item() == pytest.approx((5 - 1) ** 2, rel=1e-6)


def test_the_penalty_agrees_with_finite_differences_at_points_between_real_and_fake():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0)).double()
    real, fake, share = torch.randn(4, 3).double(), torch.randn(4, 3).double(), torch.rand(4).double()
    wanted = 0.0
    for r, f, s in zip(real, fake, share, strict=True):
        x, h = s * r + (1 - s) * f, 1e-5
        steps = h * torch.eye(3).double()
        slope = [(critic((x + e)[None]) - critic((x - e)[None])).item() / (2 * h) for e in steps]
        wanted += (math.hypot(*slope) - 1) ** 2 / 4
    assert gradient_penalty(critic, real, fake, share).item() == pytest.approx(wanted, rel=1e-7)


def test_the_penalty_trains_the_critic():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
    gradient_penalty(critic, torch.randn(4, 2), torch.randn(4, 2), torch.rand(4)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in list(critic.parameters())[:3])


def test_a_penalised_critic_measures_the_distance_of_two_shifted_gaussians():
    # W₁(N(m₁, I), N(m₂, I)) = ‖m₁ − m₂‖ = 2.5: the best 1-Lipschitz critic is linear along the shift. The penalty lets
    # the slope exceed 1 by distance / (2λ); with λ = 50 that is 2.5 %, and sampling noise of 20 × 512 pairs adds 1.4 %.
    shift, penalty_weight = torch.tensor([1.5, 2.0]), 50.0
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1), nn.Flatten(0))
    optimizer = Adam(list(critic.parameters()), (0.0, 0.9))
    estimates = []
    for step in range(400):
        drawn = generator(0, "toy", step)
        real, fake = torch.randn(512, 2, generator=drawn) + shift, torch.randn(512, 2, generator=drawn)
        distance = critic(real).mean() - critic(fake).mean()
        penalty = gradient_penalty(critic, real, fake, torch.rand(512, generator=drawn))
        (penalty_weight * penalty - distance).backward()
        optimizer.step(5e-3 if step < 300 else 5e-4)
        estimates.append(distance.item())
    assert np.mean(estimates[-20:]) == pytest.approx(2.5, rel=0.06)
