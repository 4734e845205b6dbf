"""Two networks against each other: the GAN of Goodfellow et al. (2014) and WGAN-GP (Gulrajani et al. 2017)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from rediffuse.diffusion.randomness import generator
from rediffuse.training.adam import Adam
from rediffuse.training.batches import Batches
from rediffuse.training.means import Means
from rediffuse.training.options import OnePassTraining, WganTraining


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """−E ln D(x) − E ln(1 − D(G(z))) from logits [B] each (Goodfellow et al. 2014, equation 1): 2 ln 2 at chance."""
    return softplus(-real).mean() + softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """−E ln D(G(z)) from logits [B], the non-saturating loss (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake).mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """E (‖∇ D(x̂)‖₂ − 1)² at x̂ = share·real + (1 − share)·fake (Gulrajani et al. 2017, equation 3 and algorithm 1).

    Args:
        critic: images [B, ...] -> [B].
        real, fake: [B, ...].
        share: uniform in [0, 1), one for each image, [B].
    """
    share = share.reshape(-1, *[1] * (real.ndim - 1))
    between = (share * real + (1 - share) * fake).detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return ((slope.flatten(1).norm(dim=1) - 1) ** 2).mean()


class Adversaries(Means):
    """A generator and its discriminator or, with `WganTraining`, its critic, each with an Adam of its own.

    A step is `critic_steps` steps of the discriminator, each with real images and latents of its own, then one of the
    generator. Every draw is a function of (seed, purpose, number of the draw).
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        batches: Batches,
        latent: int,
        config: OnePassTraining,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(device)
        self.seed, self.latent, self.config = seed, latent, config
        self.generator, self.discriminator = generator.to(device).train(), discriminator.to(device).train()
        self.batches, self.wasserstein = batches, isinstance(config, WganTraining)
        self.critic_steps = config.critic_steps if isinstance(config, WganTraining) else 1
        self.penalty = config.gradient_penalty if isinstance(config, WganTraining) else 0.0
        self.optimizers = {
            "generator": Adam(list(self.generator.parameters()), config.betas),
            "discriminator": Adam(list(self.discriminator.parameters()), config.betas),
        }

    @property
    def network(self) -> nn.Module:
        """The generator."""
        return self.generator

    def losses(self, step: int) -> dict[str, Tensor]:
        """One step of each side; the discriminator's numbers are those of its last step."""
        losses: dict[str, Tensor] = {}
        for part in range(self.critic_steps):
            losses = self._discriminate(step * self.critic_steps + part)
        self.discriminator.requires_grad_(False)
        fake = self.discriminator(self.generator(self._latents("generator", step)))
        loss = -fake.mean() if self.wasserstein else generator_loss(fake)
        loss.backward()
        self.discriminator.requires_grad_(True)
        norm = _norm(self.generator)
        self.optimizers["generator"].step(self.config.learning_rate)
        return {**losses, "generator_loss": loss.detach(), "generator_grad_norm": norm}

    def _discriminate(self, number: int) -> dict[str, Tensor]:
        real = self.batches(number).images
        with torch.no_grad():
            fake = self.generator(self._latents("discriminator", number))
        of_real, of_fake = self.discriminator(real), self.discriminator(fake)
        if self.wasserstein:
            drawn = generator(self.seed, "interpolation", number, device=self.device)
            share = torch.rand(len(real), generator=drawn, device=self.device)
            penalty = gradient_penalty(self.discriminator, real, fake, share)
            distance = of_real.mean() - of_fake.mean()
            loss = self.penalty * penalty - distance
            parts = {"gradient_penalty": penalty.detach(), "wasserstein_estimate": distance.detach()}
        else:
            loss = discriminator_loss(of_real, of_fake)
            right = torch.cat([of_real > 0, of_fake < 0]).float().mean()
            parts = {"discriminator_accuracy": right}
        loss.backward()
        norm = _norm(self.discriminator)
        self.optimizers["discriminator"].step(self.config.learning_rate)
        return {"discriminator_loss": loss.detach(), **parts, "discriminator_grad_norm": norm}

    def _latents(self, purpose: str, number: int) -> Tensor:
        drawn = generator(self.seed, f"latents of the {purpose}", number, device=self.device)
        return torch.randn(self.config.batch_size, self.latent, generator=drawn, device=self.device)

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimisers of both sides."""
        return {
            **super().state_dict(),
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of `state_dict`."""
        super().load_state_dict(state)
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


def _norm(network: nn.Module) -> Tensor:
    return torch.nn.utils.get_total_norm([p.grad for p in network.parameters() if p.grad is not None]).detach()
