"""Stage `examine`: are a model's samples copies, which classes do they show, and what does n do to their
distance. Of one setting, the one that stands for a run or one-pass model, and of as many of its images as are scored.
"""

from pathlib import Path
from typing import Any

import numpy as np

from rediffuse.config import ResolvedGenerator, ResolvedRun
from rediffuse.evaluation.examination import ImageGroup, by_class, class_shares, copies, distance_by_count
from rediffuse.evaluation.frechet import FrechetReference
from rediffuse.files import write_json
from rediffuse.stages.context import Context, Stopwatch, keep_only, set_threads, working, write_timing
from rediffuse.stages.perceptual import lpips_diversity
from rediffuse.stages.samples import read_of_training, read_samples
from rediffuse.stages.scoring import Judge, metrics_record
from rediffuse.tracking import log_examination, log_now


def examine(context: Context, run: ResolvedRun | ResolvedGenerator, seed: int) -> None:
    """Write examination/examination.json, and training.json where samples were drawn during training; positions of real
    images count through images.npy.
    """
    set_threads(run)
    job = context.plan.find("examine", run.name, seed)
    folder = context.folder(run, seed)
    watch = Stopwatch()
    with working(context, job):
        judge = Judge(context)
        setting, key, steps = run.shown_setting()
        made = read_samples(folder / "samples" / f"{setting}.npz")
        images = made.images[: run.evaluation.group_size * run.evaluation.groups]
        classes = len(judge.images.class_names)
        asked = np.arange(len(images)) % classes if run.asks_classes(key) else None
        samples = ImageGroup(images, judge.features(images, f"examine {run.name} {setting}").features, asked)
        training, held_out = judge.real.training, judge.real.held_out
        reference = FrechetReference(judge.reference.mu, judge.reference.sigma)
        record: dict[str, Any] = {
            **metrics_record(run, seed, setting, key, steps, made.nfe),
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
        if isinstance(run, ResolvedRun) and run.during_training is not None:
            write_json(folder / "examination" / "training.json", _during_training(judge, run, seed, folder))
        keep_only(folder / "examination", {path.name for path in job.outputs})
    write_timing(folder / "timing" / "examine.json", job, run, seconds=watch.seconds)
    log_now(log_examination, context, run, seed)


def _during_training(judge: Judge, run: ResolvedRun, seed: int, folder: Path) -> dict[str, Any]:
    """Metrics of the samples that training left, and of as many held-out images, if there are: each of one group."""
    during = run.during_training
    assert during is not None
    images, _ = judge.images.pick("held-out", during.images)
    rows = []
    for step in run.scored_steps:
        samples = read_of_training(folder / "during-training" / f"step-{step:06d}.npz")
        rows.append({"step": step, **{weights: judge.values(drawn) for weights, drawn in samples.items()}})
    return {
        "study": run.study,
        "run": run.name,
        "seed": seed,
        "features": judge.network.name,
        "reference": judge.reference.to_dict(),
        "n": during.images,
        "steps": during.steps,
        "held_out": judge.values(images) if len(images) == during.images else {},
        "rows": rows,
    }


def _name_positions(neighbours: dict[str, list[dict[str, Any]]], positions: dict[str, np.ndarray]) -> None:
    """Turn places within a group of real images into positions in images.npy; samples keep theirs in their own file."""
    for name, rows in neighbours.items():
        for row in rows:
            for space in ("pixels", "features"):
                row[space]["training"] = int(positions["training"][row[space]["training"]])
            if name in positions:
                row["position"] = int(positions[name][row["position"]])
