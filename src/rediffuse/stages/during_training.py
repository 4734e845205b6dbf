"""Samples of a network while it trains: drawn in a few steps, always from the same noise."""

import torch
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.interpolant import VelocityField
from rediffuse.diffusion.pixels import to_uint8
from rediffuse.diffusion.randomness import SampleNoise, derive_seed
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.flow import flow_euler
from rediffuse.stages.networks import class_labels, denoiser


@torch.inference_mode()
def draw(run: ResolvedRun, model: nn.Module, image_set: ImageSet, noise_seed: int, count: int, steps: int) -> Tensor:
    """`count` images, uint8 [count, C, H, W] on the CPU, by `steps` steps of DDIM (η = 0), or of Euler's method where
    the velocity is predicted. Image i depends on (noise_seed, i) and the weights; class-conditional runs get all classes.
    """
    steps = min(steps, run.diffusion.timesteps)
    batches = []
    for indices in torch.arange(count).split(run.sampling.batch_size):
        noise = SampleNoise(noise_seed, indices, image_set.shape, device=run.hardware.device)
        labels = class_labels(run, image_set, indices)
        if run.diffusion.prediction == "velocity":
            x0 = flow_euler(VelocityField(model, labels), noise, steps=steps)
        else:
            x0 = ddim(denoiser(run, model, steps, labels=labels), noise)
        batches.append(to_uint8(x0).cpu())
    return torch.cat(batches)


def draw_both(
    run: ResolvedRun, averaged: nn.Module, raw: nn.Module, image_set: ImageSet, seed: int
) -> dict[str, Tensor]:
    """What `evaluation.during_training` asks for: {"averaged", "raw"}, from the same noise, at every step alike."""
    during = run.during_training
    assert during is not None
    noise_seed = derive_seed(seed, "during training")
    return {
        name: draw(run, model, image_set, noise_seed, during.images, during.steps)
        for name, model in (("averaged", averaged), ("raw", raw))
    }
