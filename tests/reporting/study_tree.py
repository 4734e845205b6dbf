"""A study's files with made-up numbers: what the stages leave on disk, without running them."""

import csv
import functools
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rediffuse.config import LoadedStudy, ResolvedRun, load_study
from rediffuse.evaluation.intervals import grouped
from rediffuse.files import sha256
from rediffuse.formats import write_json
from rediffuse.pipeline.plan import Plan, make_plan
from rediffuse.runs import facts
from rediffuse.samplers.registry import SAMPLERS
from tests.reporting.study_records import (
    exact_costs,
    group_values,
    metrics_record,
    write_examination,
    write_probe,
    write_training_scores,
    write_trajectory,
)

PROJECT = Path(__file__).resolve().parents[2]
MACHINE = {
    "cpu": "Test CPU",
    "cores": 2,
    "threads": 1,
    "device": "cpu",
    "torch": "2.15.0",
    "python": "3.11.9",
    "platform": "Linux",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
#: What of a one-pass model's losses is logged, by its kind.
ONE_PASS = {
    "dcgan": ("discriminator_loss", "generator_loss"),
    "wgan-gp": ("wasserstein_estimate", "gradient_penalty"),
    "vae": ("reconstruction", "kl"),
}


@functools.cache
def open_study(path: Path, text: str) -> tuple[LoadedStudy, Plan]:
    """A study and its plan, made once for all trees of it."""
    loaded = load_study(path)
    return loaded, make_plan(loaded, PROJECT)


class StudyTree:
    """A project folder with the files of one study."""

    def __init__(self, root: Path, study: Path) -> None:
        self.root = root
        self.loaded, self.plan = open_study(study, study.read_text())
        self.name = self.loaded.study.study
        self.out = root / "reports" / self.name

    def folder(self, run: str, seed: int = 0) -> Path:
        return self.root / facts.folder(self.loaded.run(run), seed)

    def everything(self) -> "StudyTree":
        """All files of the main runs, the data and the real lines; no ablations."""
        self.data()
        self.real()
        self.cost()
        for run in self.loaded.runs.values():
            for seed in run.seeds:
                self.run(run, seed)
        return self

    def done(self, name: str, **measured: Any) -> None:
        """Write the receipt of a job for those of its outputs that are there, and what was measured of it."""
        job = self.plan.jobs[name]
        there = [path for path in job.outputs if (self.root / path).is_file()]
        receipt = {
            "job": job.name,
            "key": job.key,
            "command": job.command,
            "code": job.code,
            "settings": json.loads(json.dumps(job.settings)),
            "needs": {need.name: need.key for need in job.needs},
            "inputs": {},
            "outputs": {str(path): sha256(self.root / path) for path in there},
        }
        write_json(self.root / job.receipt, receipt)
        about = {"job": job.name, "key": job.key, "commit": COMMIT, "date": "2026-11-25T10:00:00+00:00"}
        environment = {"torch": "2.15.0", "python": "3.11.9"}
        timing = {"seconds": 1.5, **measured, **about, "environment": environment, "machine": MACHINE}
        write_json(self.root / job.timing, timing)

    def data(self) -> None:
        data = self.loaded.study.data.name
        folder = self.root / "data" / data
        folder.mkdir(parents=True)
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (64, 1, 8, 8), dtype=np.uint8)
        np.save(folder / "images.npy", images)
        np.save(folder / "held_out.npy", np.arange(64) < 24)
        card = {
            "name": data,
            "title": "Test digits",
            "source": "scikit-learn",
            "licence": "CC BY 4.0",
            "citation": "Alpaydin & Kaynak",
            "preprocessing": ["scaled to 0..255", "rounded"],
            "images": 64,
            "train": 40,
            "held_out": 24,
            "channels": 1,
            "height": 8,
            "width": 8,
            "images_sha256": "cd" * 32,
        }
        write_json(folder / "card.json", card)
        reference = {
            "dataset": data,
            "split": "train",
            "count": 40,
            "network": "efficientnet-lite0",
            "resize": "bicubic to 64×64",
            "dim": 1280,
            "sha256": "ef" * 32,
        }
        write_json(folder / "reference-efficientnet-lite0.json", reference)
        self.done("prepare")
        self.done("reference")

    def real(self) -> None:
        folder = self.root / "runs" / self.name / "real"
        evaluation = self.loaded.study.evaluation
        n, groups = evaluation.group_size, evaluation.groups
        write_json(folder / "held-out.json", metrics_record("real", None, "held-out", 90.0, n=n, groups=1))
        write_json(folder / "noise.json", metrics_record("real", None, "noise", 3687.0, n=n, groups=groups))
        self.done("real")

    def cost(self) -> None:
        """Exact counts of two small networks that are not the study's, and made-up times."""
        folder = self.root / "runs" / self.name / "cost"
        names = [run.name for run in self.loaded.runs.values() if not facts.is_one_pass(run)]
        record = exact_costs(tuple(names))
        write_json(folder / "cost.json", {"study": self.name, **record})

        def spread(median: float) -> dict[str, Any]:
            return {"median": median, "low": 0.9 * median, "high": 1.2 * median, "repeats": 5}

        passes = {"batch": 16, "forward": spread(0.02), "backward": spread(0.05), "kappa": spread(2.5)}
        inference = {"batch": 16, "forward": spread(0.01)}
        timing: dict[str, Any] = {
            "seconds": 12.0,
            "measured_run": names[0],
            "runs": {
                name: {
                    "training": passes,
                    "sampling": inference,
                    "checkpointing": [{"on": False, **passes}, {"on": True, **passes, "backward": spread(0.085)}],
                }
                for name in names
            },
            "batches": [{"batch": batch, "forward": spread(0.001 * batch)} for batch in (1, 16)],
            "resolutions": [{"side": side, "batch": 4, "forward": spread(0.1)} for side in (8, 16, 32, 64)],
            "gains": [
                {"what": "half the width", "training": spread(2.0), "sampling": spread(3.0)},
                {"what": "bfloat16 autocast", "training": spread(0.5), "sampling": spread(0.5)},
                {"what": "16 images at once instead of one", "training": None, "sampling": spread(1.05)},
            ],
            "left_out": {"torch.compile": "there is no C++ compiler"},
            "operators": {what: [{"operator": "conv", "share": 0.75, "calls": 9}] for what in ("forward", "training")},
            "peaks": [
                {"batch": 16, "steps": None, "checkpointing": False, "bytes": 9 * 2**20},
                {"batch": 4, "steps": 2, "checkpointing": False, "bytes": 2**20},
                {"batch": 4, "steps": 20, "checkpointing": False, "bytes": None},
            ],
            "peak_method": "rise of the resident set",
        }
        self.done("cost", **timing)

    def run(
        self, run: ResolvedRun, seed: int, scale: float = 1.0, distances: Callable[[str, int], float] | None = None
    ) -> None:
        """Everything one run leaves; Fréchet distances fall with the number of steps, and are 400 in one pass."""
        folder, who, one_pass = self.folder(run.name, seed), f"{run.name}/seed{seed}", facts.is_one_pass(run)
        random = np.random.default_rng([seed, *run.name.encode()])
        for name in ("previews", "samples", "metrics"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self.settings(run, folder / "run.yaml")
        (folder / "weights.safetensors").write_bytes(b"weights of " + run.name.encode())
        (self.one_pass_history if one_pass else self.history)(run, seed, random)
        per_second = {"ms_per_step": 50.1, "images_per_second": 2554.9, "resumed_from": None}
        self.done(
            f"train/{who}",
            **{"seconds": 20.5 if one_pass else 250.5, "steps": run.training.steps, **per_second},
            batch_size=run.training.batch_size,
        )
        timings = {}
        for setting, sampler, pace in facts.settings(run):
            steps = pace if isinstance(pace, int) else 30
            images = random.integers(0, 256, (min(64, run.sampling.images), 1, 8, 8), dtype=np.uint8)
            np.savez(folder / "samples" / f"{setting}.npz", images=images, nfe=0, stamp="test")
            timings[setting] = {
                "seconds": 0.108 if one_pass else 0.1 * steps,
                "ms_per_step": 100.0,
                "ms_per_image": 0.1 if one_pass else 0.1 * steps / 1.08,
                **{"images": 1080, "batch_size": 1080, "nfe": steps},
            }
            distance = distances(setting, steps) if distances else self.distance(run, sampler, steps, scale)
            kind = sampler if one_pass else run.sampling.samplers[sampler].kind or sampler
            nfe = steps if one_pass else SAMPLERS[kind].nfe(steps) or steps
            facts_ = {"study": self.name, "role": run.role, "sampler": sampler, "kind": kind}
            n, groups = run.evaluation.group_size, run.evaluation.groups
            record = metrics_record(
                run.name, seed, setting, distance, n=n, groups=groups, steps=steps, nfe=nfe, **facts_
            )
            write_json(folder / "metrics" / f"{setting}.json", record)
        self.done(f"sample/{who}", settings=timings)
        self.done(f"evaluate/{who}")
        if run.probed:
            write_probe(self, run, seed)
            self.done(f"probe/{who}")
        if run.role == "ablation":
            return
        for step in facts.preview_steps(run):
            grid = random.integers(0, 256, (37, 37), dtype=np.uint8)
            Image.fromarray(grid).save(folder / "previews" / f"step-{step:06d}.png")
        if facts.during_training(run) is not None:
            write_training_scores(self, run, seed)
        self.done(f"follow/{who}", seconds=4.0)
        if facts.trajectories(run) is not None:
            write_trajectory(self, run, seed)
            self.done(f"trace/{who}")
        if run.model == "vae":
            bound = {"value": 4.5, "low": 4.25, "high": 4.75, "n": 8, "interval": "95 % t-interval over 8 images"}
            parts = {"reconstruction": 4.0, "kl": 0.5}
            write_json(folder / "likelihood" / "nll.json", {"metrics": {"bits_per_dim": bound}, "parts": parts})
            self.done(f"nll/{who}")
        if (self.root / "data").exists():
            write_examination(self, run, seed)
            self.done(f"examine/{who}")

    def distance(self, run: ResolvedRun, sampler: str, steps: int, scale: float) -> float:
        """Far for few steps, three times as far over 75 with a linear schedule, and less with DDIM."""
        if run.diffusion is None:
            return 400.0
        factor = scale * (3.0 if run.diffusion.schedule == "linear" else 1.0)
        return 75 + factor * (900 if "ddim" not in sampler else 200) / steps

    def settings(self, run: ResolvedRun, path: Path) -> None:
        """Its name and number of parameters; what a VAE's encoder and a GAN's discriminator have makes no images."""
        count = 181_649 + 16 * (run.role == "improved")
        made, trained = (4000, 9000) if facts.is_one_pass(run) else (count, count)
        path.write_text(f"name: {run.name}\nparameters: {{makes_images: {made}, trained: {trained}}}\n")

    def one_pass_history(self, run: ResolvedRun, seed: int, random: np.random.Generator) -> None:
        rows = [[step, 1 / step, 2 / step] for step in range(5, run.training.steps + 1, 5)]
        with (self.folder(run.name, seed) / "history.csv").open("w", newline="") as stream:
            csv.writer(stream).writerows([["step", *ONE_PASS[run.model]], *rows])

    def history(self, run: ResolvedRun, seed: int, random: np.random.Generator) -> None:
        path = self.folder(run.name, seed) / "history.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        hybrid = facts.diffusion(run).loss == "hybrid"
        with path.open("w", newline="") as stream:
            writer = csv.writer(stream)
            quartiles = [f"loss_q{i}" for i in range(1, 5)]
            writer.writerow(["step", "loss", *quartiles, "mse", "vlb", "grad_norm", "learning_rate"])
            for step in range(run.training.log_every, run.training.steps + 1, run.training.log_every):
                base = (0.05 + math.exp(-8 * step / run.training.steps)) * (1 + 0.1 * random.random())
                parts = [base * share for share in (2.4, 0.9, 0.5, 0.2)]
                vlb = 3 * base if hybrid else ""
                writer.writerow(
                    [step, base * (1.003 if hybrid else 1), *parts, base, vlb, 0.1 + base * random.random(), 1e-3]
                )

    def set_distance(self, run: str, setting: str, distance: float, seed: int = 0, spread: float = 0.02) -> None:
        """Give a cell another Fréchet distance."""
        path = self.folder(run, seed) / "metrics" / f"{setting}.json"
        record = json.loads(path.read_text())
        found = record["metrics"]["frechet_distance"]
        values = group_values(distance, spread, len(found["groups"]))
        record["metrics"]["frechet_distance"] = grouped(values, found["n"]).to_dict()
        write_json(path, record)


def timings(tree: StudyTree) -> str:
    """The page of what machines took."""
    return (tree.out / "timings.md").read_text()


def table(tree: StudyTree, name: str, folder: str = "tables") -> list[dict[str, str]]:
    """A table of its report."""
    return list(csv.DictReader(io.StringIO((tree.out / folder / f"{name}.csv").read_text())))
