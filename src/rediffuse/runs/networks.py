"""A run's networks, of every kind of model: built from its settings, with the weights that lie in its folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.denoiser import Denoiser, Model
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.schedules import respaced_timesteps
from rediffuse.diffusion.straight import VelocityDenoiser, straight_process
from rediffuse.errors import UserError
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig
from rediffuse.registry import Registry, Way, load
from rediffuse.runs import facts
from rediffuse.weights import load_into, on_device

NETWORKS = Registry(
    "network of a model",
    Way("unet", "rediffuse.runs.networks:build_network"),
    Way("dcgan", "rediffuse.runs.networks:build_generator"),
    Way("wgan-gp", "rediffuse.runs.networks:build_generator"),
    Way("vae", "rediffuse.runs.networks:build_vae"),
)
Drawn = TypeVar("Drawn", bound=nn.Module)
# What a classifier's settings say of its network; the rest is its training.
CLASSIFIER_SHAPE = ("channels", "multipliers", "blocks", "attention", "heads", "dropout")


def build(run: ResolvedRun, image_set: ImageSet, seed: int = 0) -> nn.Module:
    """The network of a run whose weights are kept (a U-Net, a GAN's generator, a whole VAE),
    drawn from `seed` alone.
    """
    return load(NETWORKS[run.model].code)(run, image_set, seed)


def build_network(run: ResolvedRun, image_set: ImageSet, seed: int = 0) -> UNet:
    """The U-Net of a run for the images and classes of a data set, with weights drawn from `seed` alone.

    Raises:
        UserError: the run is class-conditional and the data set has no classes.
    """
    channels, height, _ = image_set.shape
    conditional = facts.is_conditional(run)
    if conditional and not image_set.class_names:
        raise UserError("network.class_conditional: the data set has no classes; use false")
    learned = facts.diffusion(run).variance in ("learned", "learned-range")
    config = UNetConfig(
        image_size=height,
        in_channels=channels,
        out_channels=channels * (2 if learned else 1),
        num_classes=len(image_set.class_names) if conditional else None,
        **facts.unet(run).model_dump(exclude={"class_conditional", "preset"}),
    )
    return _drawn(seed, lambda: UNet(config))


def build_generator(run: ResolvedRun, image_set: ImageSet, seed: int = 0) -> nn.Module:
    """The generator of a GAN, with weights drawn from `seed` alone."""
    from rediffuse.models.dcgan import Generator

    network = facts.latent(run)
    return _drawn(seed, lambda: Generator(network.latent, network.channels, image_set.shape))


def build_vae(run: ResolvedRun, image_set: ImageSet, seed: int = 0) -> nn.Module:
    """A whole VAE, with weights drawn from `seed` alone."""
    from rediffuse.models.vae import VAE

    network = facts.latent(run)
    return _drawn(seed, lambda: VAE(network.latent, network.channels, image_set.shape))


def build_classifier(run: ResolvedRun, image_set: ImageSet, seed: int = 0) -> nn.Module:
    """The noise-conditional classifier of a run, with weights drawn from `seed` alone.

    Raises:
        UserError: the run has no classifier, or the data set no classes.
    """
    from rediffuse.models.classifier import NoiseClassifier

    if run.classifier is None:
        raise UserError(f"run {run.name} has no classifier; give it a section `classifier`")
    channels, height, _ = image_set.shape
    shape = run.classifier.model_dump(include=set(CLASSIFIER_SHAPE))
    config = UNetConfig(image_size=height, in_channels=channels, out_channels=channels, **shape)
    classes, pooling = len(image_set.class_names), run.classifier.pooling
    return _drawn(seed, lambda: NoiseClassifier(config, classes, pooling))


def _drawn(seed: int, make: Callable[[], Drawn]) -> Drawn:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def generator_of(network: nn.Module) -> nn.Module:
    """What turns z [B, latent] into images [B, C, H, W]: the network itself, or a VAE's decoder (its mean image)."""
    return getattr(network, "decoder", network)


def trained_network(run: ResolvedRun, image_set: ImageSet, path: Path) -> nn.Module:
    """The network with the weights in `path`, on the run's device, ready to predict.

    Batch normalisation then uses what it gathered in training, so that an image does not depend on its batch.

    Raises:
        UserError: the file is absent, no safetensors file, or of another network.
    """
    network = load_into(build(run, image_set), path, f"run {run.name}")
    unet, hardware = run.model == "unet", run.hardware
    network = on_device(network, hardware.device, unet and hardware.channels_last)
    if not unet:  # one-pass models are small, and are trained in float32
        return network
    module: nn.Module = torch.compile(network) if hardware.compile else network  # type: ignore[assignment]
    return _Autocast(module, hardware.channels_last) if hardware.precision == "bfloat16" else module


def trained_classifier(run: ResolvedRun, image_set: ImageSet, path: Path) -> Any:
    """The classifier with the weights in `path`, on the run's device, in evaluation mode, its weights fixed.

    Raises:
        UserError: the file is absent, no safetensors file, or of another network.
    """
    network = load_into(build_classifier(run, image_set), path, f"run {run.name}'s classifier")
    return network.to(run.hardware.device).eval().requires_grad_(False)


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
    diffusion = facts.diffusion(run)
    process = DiffusionProcess.create(diffusion.schedule, diffusion.timesteps)
    if steps is not None:
        process = process.respace(respaced_timesteps(diffusion.timesteps, steps, spacing))
    variance = variance or diffusion.variance
    return Denoiser(model, process, prediction=diffusion.prediction, variance=variance, clip=clip, labels=labels)


def any_denoiser(
    run: ResolvedRun, model: Model, steps: int | None = None, *, clip: bool = True
) -> Denoiser | VelocityDenoiser:
    """`denoiser`, of a network that predicts a velocity too: for it the straight path is a process of as many steps."""
    if not facts.is_flow(run):
        return denoiser(run, model, steps, clip=clip)
    return VelocityDenoiser(model, straight_process(steps or facts.diffusion(run).timesteps), clip=clip)


def class_labels(run: ResolvedRun, image_set: ImageSet, indices: Tensor) -> Tensor | None:
    """The labels that a class-conditional run's network is given for its samples, [B]; None of other runs."""
    return asked_classes(run, image_set, indices) if facts.is_conditional(run) else None


def asked_classes(run: ResolvedRun, image_set: ImageSet, indices: Tensor) -> Tensor:
    """The class that each sample is asked for, by its label or by a classifier, int64 [B]: sample i gets i mod K."""
    return (indices % len(image_set.class_names)).to(run.hardware.device)


class _Autocast(nn.Module):
    """A network whose forward runs in bfloat16 where that is safe."""

    def __init__(self, network: nn.Module, channels_last: bool) -> None:
        super().__init__()
        self.network, self.channels_last = network, channels_last

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        """As the network's own, result in the dtype of x."""
        if self.channels_last:  # samplers give one order at first and another later, for which a compiler starts anew
            x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            return self.network(x, t, y).to(x.dtype)
