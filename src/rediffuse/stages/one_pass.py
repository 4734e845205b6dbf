"""What the stages `fit` and `draw` share: a one-pass model built from its settings, and images drawn from it."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rediffuse.config import ResolvedGenerator
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.randomness import counted_normal
from rediffuse.errors import UserError
from rediffuse.models.dcgan import Generator
from rediffuse.models.vae import VAE


def build(model: ResolvedGenerator, image_set: ImageSet, seed: int = 0) -> nn.Module:
    """The network whose weights are kept (a GAN's generator, a whole VAE), drawn from `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind = VAE if model.kind == "vae" else Generator
        return kind(model.latent, model.channels, image_set.shape)


def generator_of(network: nn.Module) -> nn.Module:
    """What turns z [B, latent] into images [B, C, H, W]: the network itself, or a VAE's decoder (its mean image)."""
    return network.decoder if isinstance(network, VAE) else network


def trained(model: ResolvedGenerator, image_set: ImageSet, path: Path) -> nn.Module:
    """The network with the weights in `path`, on the model's device, in evaluation mode.

    Batch normalisation then uses what it gathered in training, so that an image does not depend on its batch.

    Raises:
        UserError: the file is absent, no safetensors file, or of another network.
    """
    network = build(model, image_set)
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no weights; run `rediffuse fit {model.name}`") from None
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: not the weights of {model.name} ({str(error).splitlines()[0]})") from None
    return network.to(model.hardware.device).eval()


@torch.inference_mode()
def draw_images(generator: nn.Module, latent: int, seed: int, indices: Tensor, device: str) -> Tensor:
    """Images [B, C, H, W] in [-1, 1]; image i comes from z_i ~ N(0, I), a function of (seed, i) alone."""
    z = counted_normal(seed, indices, 0, (latent,), purpose="latent", device=device)
    return generator(z)
