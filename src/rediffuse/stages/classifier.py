"""Stage `classifier`: the noise-conditional classifier of a run is trained on noisy images, and judged by t."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.data.image_set import open_image_set
from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import counted_normal, derive_seed
from rediffuse.files import csv_text, digest, write_atomically, write_json
from rediffuse.stages.context import Context, set_threads, working, write_timing
from rediffuse.stages.guides import build_classifier
from rediffuse.stages.weights import write_weights
from rediffuse.tracking import log_classifier, log_now
from rediffuse.training import TrainingConfig
from rediffuse.training import train as train_network
from rediffuse.training.classification import ClassificationObjective

MOST_IMAGES, LEVELS = 2000, 11


def classifier(context: Context, run: ResolvedRun, seed: int) -> None:
    """Write classifier.safetensors, classifier.json (held-out accuracy by t) and classifier-history.csv of a run.

    Raises:
        UserError: the run has no classifier, or its loss is no longer finite.
    """
    set_threads(run)
    job = context.plan.find("classifier", run.name, seed)
    folder, settings = context.folder(run, seed), run.classifier
    assert settings is not None
    with working(context, job):
        image_set = open_image_set(context.data_folder)
        images, labels = image_set.split("train")
        held_out, classes = image_set.split("held-out")
        # Nothing is drawn as for the denoiser: a classifier must not have seen the same noise on the same images.
        own = derive_seed(seed, "classifier")
        network = build_classifier(run, image_set, derive_seed(own, "weights"))
        process = DiffusionProcess.create(run.diffusion.schedule, run.diffusion.timesteps)
        result = train_network(
            network,
            process,
            ClassificationObjective(settings.label_smoothing),
            images,
            labels,
            training_config(run),
            own,
            state_dir=context.state(run, seed) / "classifier",
            stamp=digest([job.key, torch.__version__]),
            device=run.hardware.device,
        )
        network.load_state_dict(result.ema_state)
        network.eval()
        assert classes is not None
        record = {
            "study": run.study,
            "run": run.name,
            "seed": seed,
            "classes": len(image_set.class_names),
            "parameters": sum(p.numel() for p in network.parameters()),
            "n": min(MOST_IMAGES, len(held_out)),
            "by_t": accuracy_by_t(network, process, held_out[:MOST_IMAGES], classes[:MOST_IMAGES], run.hardware.device),
        }
        write_weights(folder / "classifier.safetensors", result.ema_state, {"job": job.name, "key": job.key})
        write_atomically(folder / "classifier-history.csv", csv_text(result.history))
        write_json(folder / "classifier.json", record)
    write_timing(
        folder / "timing" / "classifier.json",
        job,
        run,
        seconds=result.seconds,
        steps=settings.steps,
        ms_per_step=1000 * result.seconds / settings.steps,
        parameters=record["parameters"],
    )
    log_now(log_classifier, context, run, seed)


def training_config(run: ResolvedRun) -> TrainingConfig:
    """The classifier's optimisation settings; the learning rate falls to 0 by a cosine."""
    settings = run.classifier
    assert settings is not None
    names = ("steps", "batch_size", "learning_rate", "warmup", "ema_decay", "flip", "log_every", "checkpoint_every")
    return TrainingConfig(
        **settings.model_dump(include=set(names)),
        decay="cosine",
        ema_warmup=True,
        precision=run.hardware.precision,
        channels_last=run.hardware.channels_last,
    )


@torch.no_grad()
def accuracy_by_t(
    network: nn.Module, process: DiffusionProcess, images: np.ndarray, labels: np.ndarray, device: str
) -> list[dict[str, Any]]:
    """Share of images classified rightly, and cross-entropy in nats, at evenly spread t from 0 to T - 1.

    images: uint8 [N, C, H, W]; labels: int [N]. The noise of image i at t depends on (i, t) alone.
    """
    x0 = to_unit_range(torch.from_numpy(images).to(device))
    y = torch.from_numpy(np.asarray(labels, dtype=np.int64)).to(device)
    rows = []
    for t in sorted({round(k * (process.num_timesteps - 1) / (LEVELS - 1)) for k in range(LEVELS)}):
        parts: list[Tensor] = []
        for indices in torch.arange(len(x0)).split(500):
            noise = counted_normal(0, indices, t, tuple(x0.shape[1:]), purpose="classifier held-out").to(device)
            xt = process.q_sample(x0[indices], t, noise)
            parts.append(network(xt, torch.full((1,), t, device=device)).float())
        logits = torch.cat(parts)
        rows.append(
            {
                "t": t,
                "alpha_bar": float(process.alphas_bar[t]),
                "accuracy": float((logits.argmax(1) == y).double().mean()),
                "cross_entropy": float(F.cross_entropy(logits.double(), y)),
            }
        )
    return rows
