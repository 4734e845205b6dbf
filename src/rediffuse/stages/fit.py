"""Stage `fit`: a one-pass model is trained, or goes on training where it was stopped.

It runs in float32 without compilation whatever the study's hardware section says: the gradient penalty is a derivative
of a derivative, and these networks are small.
"""

from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor, nn

from rediffuse.config import ResolvedGenerator
from rediffuse.data.image_set import ImageSet, open_image_set
from rediffuse.diffusion.pixels import to_uint8
from rediffuse.diffusion.randomness import derive_seed
from rediffuse.errors import UserError
from rediffuse.evaluation.intervals import over_images
from rediffuse.files import csv_text, digest, write_atomically, write_json
from rediffuse.grids import save_grid
from rediffuse.models.dcgan import Discriminator
from rediffuse.models.vae import VAE
from rediffuse.stages.context import Context, keep_only, set_threads, working, write_timing
from rediffuse.stages.one_pass import build, draw_images, generator_of
from rediffuse.stages.weights import write_weights
from rediffuse.tracking import LiveTraining, log_likelihood, log_now, open_tracker, track_training
from rediffuse.training.adversarial import Adversaries
from rediffuse.training.batches import Batches
from rediffuse.training.one_pass import Players, train_one_pass
from rediffuse.training.one_pass_options import OnePassConfig
from rediffuse.training.variational import Variational, held_out_bound

PREVIEW_IMAGES = 16


def fit(context: Context, model: ResolvedGenerator, seed: int) -> None:
    """Write run.yaml, weights.safetensors, history.csv and previews/, and of a VAE likelihood/nll.json.

    Raises:
        UserError: the hardware cannot do what the study asks for, or a loss is no longer finite.
    """
    set_threads(model)
    device = model.hardware.device
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("hardware.device: cuda, but this machine has no usable GPU; use cpu")
    job = context.plan.find("fit", model.name, seed)
    folder = context.folder(model, seed)
    with open_tracker(context) as tracker:
        with working(context, job):
            image_set = open_image_set(context.data_folder)
            network = build(model, image_set, derive_seed(seed, "weights"))
            config = training_config(model)
            players, parameters = _players(model, network, image_set, config, seed)

            def show(step: int, drawn: Tensor) -> None:
                save_grid(drawn.numpy(), folder / "previews" / f"step-{step:06d}.png", pixels=40)

            def preview(step: int, averaged: nn.Module) -> Tensor:
                indices = torch.arange(PREVIEW_IMAGES)
                z_seed = derive_seed(seed, "preview")
                drawn = to_uint8(draw_images(generator_of(averaged), model.latent, z_seed, indices, device)).cpu()
                show(step, drawn)
                return drawn

            with LiveTraining(tracker, context, model, seed) as live:
                result = train_one_pass(
                    players,
                    config,
                    seed,
                    state_dir=context.state(model, seed) / "fit",
                    # Resume state is only worth what made it: settings, code, data and the library that computes.
                    stamp=digest([job.key, torch.__version__]),
                    on_log=live.log,
                    on_preview=preview,
                )
            for step, drawn in result.previews.items():
                show(step, drawn)
            keep_only(folder / "previews", {path.name for path in job.outputs})
            keep_only(folder / "likelihood", {path.name for path in job.outputs})
            write_weights(folder / "weights.safetensors", result.state, {"job": job.name, "key": job.key})
            write_atomically(folder / "history.csv", csv_text(result.history))
            if isinstance(network, VAE):
                network.load_state_dict(result.state)
                write_json(folder / "likelihood" / "nll.json", _likelihood(model, seed, network, image_set))
            settings = {"run": model.name, "study": model.study, **job.settings}
            write_atomically(folder / "run.yaml", yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
            images = config.steps * config.batch_size * (config.critic_steps if model.kind == "wgan-gp" else 1)
            write_timing(
                folder / "timing" / "fit.json",
                job,
                model,
                seconds=result.seconds,
                steps=config.steps,
                batch_size=config.batch_size,
                ms_per_step=1000 * result.seconds / config.steps,
                images_per_second=images / result.seconds,
                parameters=sum(p.numel() for p in generator_of(network).parameters()),
                parameters_trained=parameters,
                resumed_from=result.resumed_from,
            )
        if tracker is not None:
            track_training(tracker, context, model, seed)
    if model.kind == "vae":
        log_now(log_likelihood, context, model, seed)


def training_config(model: ResolvedGenerator) -> OnePassConfig:
    """The optimisation settings of a one-pass model."""
    training = model.training
    given = training.model_dump(exclude={"beta1", "beta2"}, exclude_none=True)
    assert training.beta1 is not None
    assert training.beta2 is not None
    return OnePassConfig(**given, betas=(training.beta1, training.beta2))


def _players(
    model: ResolvedGenerator, network: nn.Module, image_set: ImageSet, config: OnePassConfig, seed: int
) -> tuple[Players, int]:
    """What trains, and the parameters of all of it."""
    device, (images, _) = model.hardware.device, image_set.split("train")
    batches = Batches(images, None, batch_size=config.batch_size, seed=seed, flip=config.flip, device=device)
    count = sum(p.numel() for p in network.parameters())
    if isinstance(network, VAE):
        return Variational(network, batches, model.latent, config, seed, device), count
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "weights of the discriminator"))
        discriminator = Discriminator(model.channels, image_set.shape, model.critic_norm or "batch")
    wasserstein = model.kind == "wgan-gp"
    adversaries = Adversaries(
        network, discriminator, batches, model.latent, config, seed, device, wasserstein=wasserstein
    )
    return adversaries, count + sum(p.numel() for p in discriminator.parameters())


def _likelihood(model: ResolvedGenerator, seed: int, vae: VAE, image_set: ImageSet) -> dict[str, Any]:
    """The bound on the same held-out images as stage `nll` takes for the runs, in the same form."""
    images, _ = image_set.pick("held-out", model.evaluation.likelihood_images)
    reconstruction, kl = held_out_bound(vae.eval(), torch.from_numpy(images), derive_seed(seed, "likelihood"))
    total: np.ndarray = (reconstruction + kl).numpy()
    return {
        "study": model.study,
        "run": model.name,
        "role": model.role,
        "seed": seed,
        "split": "held-out",
        "n": len(images),
        "metrics": {"bits_per_dim": over_images(total)},
        "parts": {"reconstruction": float(reconstruction.mean()), "kl": float(kl.mean())},
        "decoder_std": float(vae.log_std.detach().exp()),
    }
