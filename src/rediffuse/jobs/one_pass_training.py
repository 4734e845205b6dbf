"""Training of models that make an image in one pass.

It runs in float32 without compilation whatever the study's hardware section says: the gradient penalty is a derivative
of a derivative, and these networks are small.
"""

from typing import Any

import torch

from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.randomness import derive_seed
from rediffuse.jobs.training import run_training
from rediffuse.models.dcgan import Discriminator
from rediffuse.models.latent_options import CriticNetwork
from rediffuse.models.vae import VAE
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.runs import facts
from rediffuse.runs.networks import build, generator_of
from rediffuse.training.adversarial import Adversaries
from rediffuse.training.batches import Batches
from rediffuse.training.options import OnePassTraining, VaeTraining
from rediffuse.training.variational import Variational


def train_adversaries(job: Job, context: Context, image_set: ImageSet) -> dict[str, Any]:
    """Train a generator against its discriminator or critic."""
    run, seed, config = job.run, job.seed, job.run.training
    assert isinstance(config, OnePassTraining)
    network = build(run, image_set, derive_seed(seed, "weights"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights of the discriminator"))
        norm = run.network.critic_norm if isinstance(run.network, CriticNetwork) else "batch"
        discriminator = Discriminator(facts.latent(run).channels, image_set.shape, norm)
    batches, device = _batches(job, image_set), run.hardware.device
    learner = Adversaries(network, discriminator, batches, facts.latent(run).latent, config, seed, device)
    counts = [sum(p.numel() for p in player.parameters()) for player in (network, discriminator)]
    images = config.batch_size * learner.critic_steps
    return run_training(job, context, learner, config, (counts[0], sum(counts)), images)


def train_vae(job: Job, context: Context, image_set: ImageSet) -> dict[str, Any]:
    """Train a VAE; its number of parameters is that of the decoder, which makes images."""
    run, seed, config = job.run, job.seed, job.run.training
    assert isinstance(config, VaeTraining)
    network = build(run, image_set, derive_seed(seed, "weights"))
    assert isinstance(network, VAE)
    learner = Variational(
        network, _batches(job, image_set), facts.latent(run).latent, config, seed, run.hardware.device
    )
    counts = [sum(p.numel() for p in part.parameters()) for part in (generator_of(network), network)]
    return run_training(job, context, learner, config, (counts[0], counts[1]))


def _batches(job: Job, image_set: ImageSet) -> Batches:
    config = job.run.training
    images, _ = image_set.split("train")
    return Batches(
        images,
        None,
        batch_size=config.batch_size,
        seed=job.seed,
        flip=config.flip,
        device=job.run.hardware.device,
    )
