"""The examination of a run's samples: copies, classes, and what their number does to their distance."""

from typing import Any

import numpy as np

from rediffuse.evaluation.examination import ImageGroup, by_class, class_shares, copies, distance_by_count
from rediffuse.evaluation.frechet import FrechetReference
from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.runs import facts
from rediffuse.runs.judge import Judge, metrics_record
from rediffuse.runs.perceptual import lpips_diversity
from rediffuse.runs.samples import read_samples


def examine(job: Job, context: Context) -> None:
    """Write examination/examination.json."""
    run, folder = job.run, context.root / job.folder
    judge = Judge(context.loaded, context.root, context.made_by)
    setting, key, steps = facts.shown_setting(run)
    made = read_samples(folder / "samples" / f"{setting}.npz")
    images = made.images[: run.evaluation.group_size * run.evaluation.groups]
    classes = len(judge.images.class_names)
    asked = np.arange(len(images)) % classes if facts.asks_classes(run, key) else None
    samples = ImageGroup(images, judge.features(images, f"examine {run.name} {setting}").features, asked)
    training, held_out = judge.real.training, judge.real.held_out
    reference = FrechetReference(judge.reference.mu, judge.reference.sigma)
    record: dict[str, Any] = {
        **metrics_record(run, job.seed, setting, key, steps, made.nfe),
        "images": len(samples),
        "features": judge.network.name,
        "reference": judge.reference.to_dict(),
        **copies(samples, training, held_out, known=judge.real.nearest),
        "classes": class_shares(
            samples, training, held_out, list(judge.images.class_names), lambda: judge.real.classifier
        ),
        "by_class": by_class(samples, training, held_out),
        "by_count": {
            "samples": distance_by_count(samples.features, reference),
            "held_out": judge.real.distance_by_count(judge.reference),
        },
    }
    _name_positions(record["neighbours"], judge.real.positions)
    label = f"LPIPS {run.name} {setting}"
    found = lpips_diversity(run.evaluation, run.hardware, context.root, samples.images, held_out.images, label)
    record |= {} if found is None else {"lpips": found}
    write_json(folder / "examination" / "examination.json", record)


def _name_positions(neighbours: dict[str, list[dict[str, Any]]], positions: dict[str, np.ndarray]) -> None:
    """Turn places within a group of real images into positions in images.npy; samples keep theirs in their own file."""
    for name, rows in neighbours.items():
        for row in rows:
            for space in ("pixels", "features"):
                row[space]["training"] = int(positions["training"][row[space]["training"]])
            if name in positions:
                row["position"] = int(positions[name][row["position"]])
