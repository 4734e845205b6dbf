"""Tiny networks, trained for real on coloured digits, and what is needed to break them on purpose."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np

from rediffuse.data.digits import digits
from rediffuse.diagnosis.subject import Averaging, Pictures, Subject
from rediffuse.diffusion import DiffusionProcess, Objective
from rediffuse.models.unet import UNet, build_unet
from rediffuse.models.unet_config import UNetConfig
from rediffuse.training.denoising import Denoising
from rediffuse.training.loop import TrainingResult, train
from rediffuse.training.options import TrainingConfig

STEPS = 100
CONFIG = UNetConfig(
    image_size=8,
    in_channels=3,
    out_channels=6,
    num_classes=10,
    channels=16,
    multipliers=(1, 2),
    blocks=1,
    attention=(),
    middle_attention=False,
    groups=8,
)


def coloured() -> tuple[Pictures, Pictures]:
    """Digits in red to yellow ink on a blue ground, 1,437 for training and 360 held out: no two channels are alike."""
    found, random = digits(), np.random.default_rng(0)
    ink = found.images / 255.0
    green, blue = random.uniform(0.2, 0.9, (2, len(ink), 1, 1, 1))
    images = np.round(255 * np.concatenate((ink, green * ink, blue * (1 - ink)), axis=1)).astype(np.uint8)
    split = [random.permutation(found.indices(name)) for name in ("train", "held-out")]
    assert found.labels is not None
    training, held_out = (Pictures(images[chosen], found.labels[chosen]) for chosen in split)
    return training, held_out


def trained(
    folder: Path,
    pictures: Pictures,
    steps: int,
    *,
    network: UNet | None = None,
    config: UNetConfig = CONFIG,
    process: DiffusionProcess | None = None,
    objective: Objective = Objective(prediction="v", variance="learned-range", loss="hybrid"),
    rate: float = 2e-3,
    decay: float = 0.98,
    labels: bool = True,
) -> tuple[UNet, TrainingResult]:
    """A network trained from the start, or on from where it is, with its average."""
    network = build_unet(config, 0) if network is None else copy.deepcopy(network)
    options = TrainingConfig(steps=steps, batch_size=32, learning_rate=rate, warmup=0, ema_decay=decay, ema_warmup=True)
    process = process or DiffusionProcess.create("cosine", STEPS)
    learner = Denoising(network, process, objective, pictures.images, pictures.labels if labels else None, options, 0)
    result = train(learner, options, 0, state_dir=folder, stamp="patient", progress=False)
    network.load_state_dict(result.averaged)
    return network.eval(), result


def subject(network: UNet, training: Pictures, held_out: Pictures | None, **other: object) -> Subject:
    """A network as it is said to be used."""
    usual = Subject(
        "patient",
        network,
        network.state_dict(),
        DiffusionProcess.create("cosine", STEPS),
        "v",
        "learned-range",
        True,
        10,
        training,
        held_out,
        Averaging("averaged"),
    )
    return replace(usual, **other)
