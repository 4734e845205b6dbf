"""The content of single files of a made-up study."""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from rediffuse.config import ResolvedRun
from rediffuse.evaluation.examination import ImageGroup, class_shares, copies, distance_by_count
from rediffuse.evaluation.frechet import FrechetReference, moments
from rediffuse.evaluation.intervals import grouped, t_half_width
from rediffuse.formats import write_json
from rediffuse.runs import facts

if TYPE_CHECKING:
    from tests.reporting.study_tree import StudyTree


def group_values(value: float, spread: float, groups: int) -> list[float]:
    """Values of groups whose mean is `value`, with an interval of ± `spread` of it."""
    if groups == 1:
        return [value]
    steps = np.linspace(-1, 1, groups)
    return list(value + spread * abs(value) / t_half_width(steps) * steps)


def metrics_record(
    run: str,
    seed: int | None,
    setting: str,
    distance: float,
    *,
    n: int = 8,
    groups: int = 2,
    spread: float = 0.02,
    **facts: Any,
) -> dict[str, Any]:
    """Content of a metrics file whose Fréchet distance is `distance`, with intervals of ± `spread` of each value."""
    values = {"frechet_distance": distance, "kid": distance / 1000 - 0.05, "inception_score": 3 - distance / 4000}
    values |= dict.fromkeys(("precision", "recall", "density", "coverage"), 40 / (40 + distance))
    values["diversity"] = 20 + distance / 1000
    metrics = {}
    for name, value in values.items():
        metrics[name] = grouped(group_values(value, spread, groups), n).to_dict()
    reference = {"dataset": "smoke", "split": "train", "count": 40}
    whole = {
        "frechet_distance": {"value": 0.75 * distance, "n": n * groups, "reference": reference},
        "inception_score": {"value": 2.5, "std": 0.25, "splits": 10, "n": n * groups},
    }
    return {
        "study": "smoke",
        "run": run,
        "role": "real",
        "seed": seed,
        "setting": setting,
        "sampler": setting,
        "kind": setting,
        "steps": None,
        "eta": None,
        "variance": None,
        "nfe": None,
        "images": n * groups,
        "features": "efficientnet-lite0",
        "resize": "bicubic",
        "reference": {**reference, "sha256": "ab" * 32},
        "metrics": metrics,
        "whole": {"images": n * groups, "metrics": whole},
        **facts,
    }


def _group(images: np.ndarray, positions: np.ndarray | None) -> ImageGroup:
    """Images with 16 features that are means of rows and columns; real ones are of class position mod 10."""
    features = np.concatenate([images.mean((1, 2)), images.mean((1, 3))], axis=1)
    return ImageGroup(images, features, None if positions is None else positions % 10)


@functools.cache
def exact_costs(names: tuple[str, ...]) -> dict[str, Any]:
    """What the stage writes of one small network under all these names, and of one in place of the presets."""
    from rediffuse.cost.study import exact_record
    from rediffuse.models.presets import PRESETS

    return exact_record(dict.fromkeys(names, PRESETS["micro-digits"]), {"tiny": {"image_size": 16, "channels": 8}})


def write_training_scores(tree: "StudyTree", run: ResolvedRun, seed: int) -> None:
    """Scores by training step: of raw weights above those of averaged ones, both falling."""
    during, steps = facts.during_training(run), facts.scored_steps(run)
    assert during is not None
    rows = [
        {
            "step": step,
            "averaged": {"frechet_distance": 900.0 - 300 * k / len(steps), "inception_score": 2.0 + k / len(steps)},
            "raw": {"frechet_distance": 950.0 - 300 * k / len(steps), "inception_score": 1.9 + k / len(steps)},
        }
        for k, step in enumerate(steps, 1)
    ]
    write_json(
        tree.folder(run.name, seed) / "during-training" / "scores.json",
        {
            "n": during.images,
            "steps": during.steps,
            "held_out": {"frechet_distance": 90.0, "inception_score": 3.2},
            "rows": rows,
        },
    )


def write_trajectory(tree: "StudyTree", run: ResolvedRun, seed: int) -> None:
    """Four points along the steps: the estimates of x0 near the last from the third on, x_t 5 % too wide at the end."""
    asked = facts.trajectories(run)
    assert asked is not None
    distances, points = (900.0, 400.0, 105.0, 100.0), []
    for k, distance in zip((0, 3, 6, 9), distances, strict=True):
        points.append({"step": k, "t": 45 - 5 * k, **_moments(1.0), "clipped": 0.25, "distance": distance})
    points.append({"step": asked.steps, "t": None, **_moments(1.05)})
    record = {"n": asked.images, "steps": asked.steps, "samplers": {"ancestral": points, "ddim": points}}
    write_json(tree.folder(run.name, seed) / "trajectory" / "trajectory.json", record)
    images = np.random.default_rng(3).integers(0, 256, (4, 4, 1, 8, 8), dtype=np.uint8)
    np.savez(tree.folder(run.name, seed) / "trajectory" / "images.npz", ancestral=images, ddim=images)


def write_probe(tree: "StudyTree", run: ResolvedRun, seed: int) -> None:
    """A network that errs by half of what the best linear prediction does, twice as much when told another t; its
    gradients hold 5 times as much noise as signal (baseline: 10), a tenth more with each seed.
    """

    def estimate(value: float, half: float, n: int = 8, **other: Any) -> dict[str, Any]:
        return {"value": value, "low": value - half, "high": value + half, "n": n, "interval": "a test", **other}

    noise = (10.0 if run.role == "baseline" else 5.0) + seed / 10
    parameters = 200_000 + 16 * (run.role != "baseline")
    exact = {
        name: estimate(value, 0, n=1, interval="exact")
        for name, value in (("parameters", parameters), ("gflops", 0.25))
    }
    metrics = {
        **exact,
        "eps_error": estimate(0.1, 0.01, per_image=[0.09, 0.11] * 4),
        "held_out_loss": estimate(0.1, 0.01, per_image=[0.09, 0.11] * 4),
        "gradient_noise": estimate(noise, 1.0),
        "loss_variance": estimate(0.02, 0.01),
    }
    rows, last = [], facts.diffusion(run).timesteps - 1
    for t in sorted({0, (last + 1) // 4, (last + 1) // 2, 3 * (last + 1) // 4, last}):
        signal = 1 - (t + 0.5) / (last + 1)
        errors = {"eps": 0.4 * signal, "x0": 0.1, "eps_linear": 0.8 * signal, "x0_linear": 0.2}
        errors |= {"eps_memory": 0.1 * signal, "x0_memory": 0.05}
        both = {"held-out": {**errors, "eps_mistold": 0.8 * signal}, "train": errors}
        rows.append({"t": t, "signal": signal, "snr": signal**2 / (1 - signal**2), **both})
    record = {"prediction": facts.diffusion(run).prediction, "metrics": metrics, "by_t": rows}
    record |= {"gradients": {"noise": 1.0, "signal": 0.1, "batch_size": 16, "loss": 0.1}}
    record |= {"images": {"held-out": 8, "train": 8}}
    write_json(tree.folder(run.name, seed) / "probe" / "probe.json", record)


def _moments(std: float) -> dict[str, Any]:
    mean = {"value": -0.1, "low": -0.2, "high": 0.0, "n": 20}
    ends = {"value": std, "low": std - 0.02, "high": std + 0.02, "n": 20}
    return {"mean": mean, "expected_mean": -0.11, "std": ends, "expected_std": 1.0}


def write_examination(tree: "StudyTree", run: ResolvedRun, seed: int) -> None:
    """What the stage finds of the run's samples, with brightness of rows and columns as features."""
    folder = tree.folder(run.name, seed)
    setting, _, steps = facts.shown_setting(run)
    images = np.load(tree.root / "data" / tree.loaded.study.data.name / "images.npy")
    held_out = np.load(tree.root / "data" / tree.loaded.study.data.name / "held_out.npy")
    samples = np.load(folder / "samples" / f"{setting}.npz")["images"]
    training, unseen = (
        _group(images[chosen], chosen) for chosen in (np.flatnonzero(~held_out), np.flatnonzero(held_out))
    )
    group = _group(samples, None)
    reference = FrechetReference(*moments(training.features))
    found = copies(group, training, unseen)
    for name, rows in found["neighbours"].items():
        for row in rows:
            for space in ("pixels", "features"):
                row[space]["training"] += int(held_out.sum())
            assert name == "samples" or held_out[row["position"]]
    write_json(
        folder / "examination" / "examination.json",
        {
            "study": tree.name,
            "run": run.name,
            "seed": seed,
            "setting": setting,
            "steps": steps,
            **found,
            "classes": class_shares(group, training, unseen, list("0123456789")),
            "by_class": None,
            "by_count": {
                "samples": distance_by_count(group.features, reference),
                "held_out": distance_by_count(unseen.features, reference),
            },
        },
    )
