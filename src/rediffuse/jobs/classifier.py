"""The noise-conditional classifier of a run: trained on noisy images, and judged by t."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rediffuse.config.trained import GuidingClassifier
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.pixels import to_unit_range
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import counted_normal, derive_seed
from rediffuse.files import digest, write_atomically
from rediffuse.formats import csv_text, write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.runs.networks import build_classifier
from rediffuse.training.classification import ClassificationObjective
from rediffuse.training.denoising import Denoising
from rediffuse.training.loop import train
from rediffuse.training.options import TrainingConfig
from rediffuse.weights import write_weights

MOST_IMAGES, LEVELS = 2000, 11


def train_classifier(job: Job, context: Context, image_set: ImageSet) -> dict[str, Any]:
    """Write weights.safetensors, accuracy.json (held-out accuracy by t) and history.csv in classifier/.

    Raises:
        UserError: the run has no classifier, or its loss is no longer finite.
    """
    run, settings, folder = job.run, job.run.classifier, context.root / job.folder / "classifier"
    assert settings is not None
    assert run.diffusion is not None
    images, labels = image_set.split("train")
    held_out, classes = image_set.split("held-out")
    assert classes is not None
    # Nothing is drawn as for the denoiser: a classifier must not have seen the same noise on the same images.
    own = derive_seed(job.seed, "classifier")
    network = build_classifier(run, image_set, derive_seed(own, "weights"))
    process = DiffusionProcess.create(run.diffusion.schedule, run.diffusion.timesteps)
    config = training_config(settings)
    objective = ClassificationObjective(settings.label_smoothing)
    learner = Denoising(network, process, objective, images, labels, config, own, run.hardware)
    stamp = digest([job.key, torch.__version__])
    result = train(learner, config, own, state_dir=context.state(job), stamp=stamp)
    network.load_state_dict(result.averaged)
    network.eval()
    parameters = sum(p.numel() for p in network.parameters())
    record = {
        "study": run.study,
        "run": run.name,
        "seed": job.seed,
        "classes": len(image_set.class_names),
        "parameters": parameters,
        "n": min(MOST_IMAGES, len(held_out)),
        "by_t": accuracy_by_t(network, process, held_out[:MOST_IMAGES], classes[:MOST_IMAGES], run.hardware.device),
    }
    write_weights(folder / "weights.safetensors", result.averaged, {"job": job.name})
    write_atomically(folder / "history.csv", csv_text(result.history))
    write_json(folder / "accuracy.json", record)
    return {
        "seconds": result.seconds,
        "steps": settings.steps,
        "ms_per_step": 1000 * result.seconds / settings.steps,
        "parameters": parameters,
    }


def training_config(settings: GuidingClassifier) -> TrainingConfig:
    """The classifier's optimisation settings; the learning rate falls to 0 by a cosine."""
    names = {"steps", "batch_size", "learning_rate", "warmup", "ema_decay", "flip", "log_every", "checkpoint_every"}
    return TrainingConfig(**settings.model_dump(include=names), decay="cosine", ema_warmup=True)


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
