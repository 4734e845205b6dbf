"""A run's network: built from its settings, its weights read from and written to safetensors, its output read."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.denoiser import Denoiser, Model
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.schedules import respaced_timesteps
from rediffuse.errors import UserError
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig


def build_network(run: ResolvedRun, image_set: ImageSet, seed: int = 0) -> UNet:
    """The U-Net of a run for the images and classes of a data set, with weights drawn from `seed` alone.

    Raises:
        UserError: the run is class-conditional and the data set has no classes.
    """
    channels, height, _ = image_set.shape
    conditional = run.network.class_conditional
    if conditional and not image_set.class_names:
        raise UserError("network.class_conditional: the data set has no classes; use false")
    learned = run.diffusion.variance in ("learned", "learned-range")
    config = UNetConfig(
        image_size=height,
        in_channels=channels,
        out_channels=channels * (2 if learned else 1),
        num_classes=len(image_set.class_names) if conditional else None,
        **run.network.model_dump(exclude={"class_conditional", "preset"}),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(config)


def trained_network(run: ResolvedRun, image_set: ImageSet, path: Path) -> nn.Module:
    """The network with the weights in `path`, on the run's device, ready to predict.

    Raises:
        UserError: the file is absent, no safetensors file, or of another network.
    """
    network = build_network(run, image_set)
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no weights; run `rediffuse train {run.name}`") from None
    except (SafetensorError, RuntimeError) as error:
        raise UserError(f"{path}: not the weights of run {run.name} ({str(error).splitlines()[0]})") from None
    network = network.to(run.hardware.device).eval()
    if run.hardware.channels_last:
        network = network.to(memory_format=torch.channels_last)
    module: nn.Module = _Autocast(network) if run.hardware.precision == "bfloat16" else network
    return torch.compile(module) if run.hardware.compile else module  # type: ignore[return-value]


def denoiser(
    run: ResolvedRun,
    model: Model,
    steps: int | None = None,
    *,
    spacing: str = "uniform",
    variance: str | None = None,
    clip: bool = True,
    labels: Tensor | None = None,
) -> Denoiser:
    """The run's network as a denoiser at `steps` of its T steps (all of them when None)."""
    diffusion = run.diffusion
    process = DiffusionProcess.create(diffusion.schedule, diffusion.timesteps)
    if steps is not None:
        process = process.respace(respaced_timesteps(diffusion.timesteps, steps, spacing))
    variance = variance or diffusion.variance
    return Denoiser(model, process, prediction=diffusion.prediction, variance=variance, clip=clip, labels=labels)


def class_labels(run: ResolvedRun, image_set: ImageSet, indices: Tensor) -> Tensor | None:
    """The labels that a class-conditional run's network is given for its samples, [B]; None of other runs."""
    return asked_classes(run, image_set, indices) if run.network.class_conditional else None


def asked_classes(run: ResolvedRun, image_set: ImageSet, indices: Tensor) -> Tensor:
    """The class that each sample is asked for, by its label or by a classifier, int64 [B]: sample i gets i mod K."""
    return (indices % len(image_set.class_names)).to(run.hardware.device)


class _Autocast(nn.Module):
    """A network whose forward runs in bfloat16 where that is safe."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """As the network's own, result in the dtype of x."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return self.network(x, t, y).to(x.dtype)
