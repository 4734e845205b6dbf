"""A run's noise-conditional classifier: built from its settings, its weights read from safetensors."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import ImageSet
from rediffuse.errors import UserError
from rediffuse.models.classifier import NoiseClassifier
from rediffuse.models.unet_config import UNetConfig

# What a classifier's settings say of its network; the rest is its training.
NETWORK = ("channels", "multipliers", "blocks", "attention", "heads", "dropout")


def build_classifier(run: ResolvedRun, image_set: ImageSet, seed: int = 0) -> NoiseClassifier:
    """The classifier of a run for the images and classes of a data set, with weights drawn from `seed` alone.

    Raises:
        UserError: the run has no classifier, or the data set no classes.
    """
    if run.classifier is None:
        raise UserError(f"run {run.name} has no classifier; give `classifiers` an entry {run.name}")
    channels, height, _ = image_set.shape
    shape = run.classifier.model_dump(include=set(NETWORK))
    config = UNetConfig(image_size=height, in_channels=channels, out_channels=channels, **shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NoiseClassifier(config, len(image_set.class_names), run.classifier.pooling)


def trained_classifier(run: ResolvedRun, image_set: ImageSet, path: Path) -> NoiseClassifier:
    """The classifier with the weights in `path`, on the run's device, in evaluation mode, its weights fixed.

    Raises:
        UserError: the file is absent, no safetensors file, or of another network.
    """
    network = build_classifier(run, image_set)
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no weights; run `rediffuse classifier {run.name}`") from None
    except (SafetensorError, RuntimeError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{path}: not the weights of run {run.name}'s classifier ({line})") from None
    return network.to(run.hardware.device).eval().requires_grad_(False)
