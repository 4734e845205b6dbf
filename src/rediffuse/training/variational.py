"""Training of a variational autoencoder: stochastic gradient variational Bayes (Kingma & Welling 2014, algorithm 1)."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.randomness import counted_normal, generator
from rediffuse.models.vae import VAE
from rediffuse.training.adam import Adam
from rediffuse.training.batches import Batches
from rediffuse.training.means import Means
from rediffuse.training.options import VaeTraining


def bits_per_dim(nats: Tensor, dimensions: int) -> Tensor:
    """Nats of whole images as bits for each of their `dimensions` (C·H·W) values."""
    return nats / (dimensions * math.log(2))


class Variational(Means):
    """A VAE and its Adam; a step lowers the negative bound in bits/dim, with one draw of z for each image."""

    def __init__(
        self,
        vae: VAE,
        batches: Batches,
        latent: int,
        config: VaeTraining,
        seed: int,
        device: str | torch.device = "cpu",
    ) -> None:
        super().__init__(device)
        self.vae, self.batches, self.config, self.seed = vae.to(device).train(), batches, config, seed
        self.latent = latent
        self.parameters = list(self.vae.parameters())
        self.optimizer = Adam(self.parameters, config.betas)

    @property
    def network(self) -> nn.Module:
        """Encoder and decoder."""
        return self.vae

    def losses(self, step: int) -> dict[str, Tensor]:
        """One step; reconstruction and kl are in bits/dim, and the loss is their sum."""
        x = self.batches(step).images
        drawn = generator(self.seed, "posterior", step, device=self.device)
        noise = torch.randn(len(x), self.latent, generator=drawn, device=self.device)
        parts = [bits_per_dim(part.mean(), x[0].numel()) for part in self.vae.bound(x, noise)]
        loss = parts[0] + parts[1]
        loss.backward()
        norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        self.optimizer.step(self.config.learning_rate)
        std = self.vae.log_std.detach().exp()
        return {
            "loss": loss.detach(),
            "reconstruction": parts[0].detach(),
            "kl": parts[1].detach(),
            "decoder_std": std,
            "grad_norm": norm.detach(),
        }

    def state_dict(self) -> dict[str, Any]:
        """Weights and optimiser."""
        return {**super().state_dict(), "vae": self.vae.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a state of `state_dict`."""
        super().load_state_dict(state)
        self.vae.load_state_dict(state["vae"])
        self.optimizer.load_state_dict(state["optimizer"])


@torch.inference_mode()
def held_out_bound(
    vae: VAE, images: Tensor, seed: int, draws: int = 16, batch_size: int = 256
) -> tuple[Tensor, Tensor]:
    """The negative bound of images under a trained VAE, in two parts: reconstruction and KL, bits/dim, float64 [N].

    The reconstruction is the mean over `draws` of z, each a function of (seed, image, draw); the KL is exact.

    Args:
        images: uint8 [N, C, H, W].
    """
    device, latent = vae.log_std.device, vae.decoder.latent
    rows = []
    for start in range(0, len(images), batch_size):
        indices = torch.arange(start, min(start + batch_size, len(images)))
        x = to_unit_range(images[indices].to(device))
        found = []
        for draw in range(draws):
            noise = counted_normal(seed, indices, draw, (latent,), purpose="posterior", device=device)
            found.append(torch.stack(vae.bound(x, noise)).double())
        rows.append(torch.stack(found).mean(0).cpu())
    reconstruction, kl = bits_per_dim(torch.cat(rows, dim=1), images[0].numel())
    return reconstruction, kl
