"""A study's files with made-up numbers: what the stages leave on disk, without running them."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rediffuse.config import LoadedStudy, ResolvedGenerator, ResolvedRun, load_study
from rediffuse.files import digest, sha256
from rediffuse.formats import write_json
from tests.reporting.study_records import exact_costs, metrics_record, write_examination, write_training_scores

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


class StudyTree:
    """A project folder with the files of one study."""

    def __init__(self, root: Path, study: Path) -> None:
        self.root = root
        self.loaded: LoadedStudy = load_study(study)
        self.name = self.loaded.study.study
        self.out = root / "reports" / self.name

    def folder(self, run: str, seed: int = 0) -> Path:
        return self.root / self.loaded.model(run).folder(seed)

    def everything(self) -> "StudyTree":
        """All files of the main runs, the data and the real lines; no ablations."""
        self.data()
        self.real()
        self.cost()
        for run in self.loaded.runs.values():
            for seed in run.seeds:
                self.run(run, seed)
        for model in self.loaded.generators.values():
            for seed in model.seeds:
                self.generator(model, seed)
        return self

    def generator(self, model: ResolvedGenerator, seed: int) -> None:
        """Everything one one-pass model leaves; a batch of 1,080 images takes it 108 ms."""
        folder, who = self.folder(model.name, seed), f"{model.name}/seed{seed}"
        random = np.random.default_rng([seed, *model.name.encode()])
        (folder / "samples").mkdir(parents=True)
        columns = {
            "dcgan": ("discriminator_loss", "generator_loss"),
            "wgan-gp": ("wasserstein_estimate", "gradient_penalty"),
            "vae": ("reconstruction", "kl"),
        }[model.kind]
        with (folder / "history.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["step", *columns])
            writer.writerows([step, 1 / step, 2 / step] for step in range(5, model.training.steps + 1, 5))
        (folder / "run.yaml").write_text(f"name: {model.name}\n")
        made = [folder / "run.yaml", folder / "history.csv"]
        if model.kind == "vae":
            made.append(folder / "likelihood" / "nll.json")
            bound = {"value": 4.5, "low": 4.25, "high": 4.75, "n": 8, "interval": "95 % t-interval over 8 images"}
            write_json(made[-1], {"metrics": {"bits_per_dim": bound}, "parts": {"reconstruction": 4.0, "kl": 0.5}})
        key = self.receipt(folder / "receipts" / "fit.json", f"fit/{who}", f"rediffuse fit {model.name}", made)
        timing = {"key": key, "machine": MACHINE, "seconds": 20.5, "parameters": 4000, "parameters_trained": 9000}
        write_json(folder / "timing" / "fit.json", timing)
        [(setting, sampler, _)] = model.settings()
        images = random.integers(0, 256, (min(64, model.sampling.images), 1, 8, 8), dtype=np.uint8)
        np.savez(folder / "samples" / f"{setting}.npz", images=images, stamp="test")
        drawn = {
            "seconds": 0.108,
            "ms_per_step": 108.0,
            "ms_per_image": 0.1,
            "images": 1080,
            "batch_size": 1080,
            "nfe": 1,
        }
        made = [folder / "samples" / f"{setting}.npz"]
        key = self.receipt(folder / "receipts" / "draw.json", f"draw/{who}", f"rediffuse draw {model.name}", made)
        write_json(folder / "timing" / "draw.json", {"key": key, "machine": MACHINE, "settings": {setting: drawn}})
        facts = {"study": self.name, "role": "generator", "sampler": sampler, "kind": sampler, "steps": 1, "nfe": 1}
        write_json(folder / "metrics" / f"{setting}.json", metrics_record(model.name, seed, setting, 400.0, **facts))
        made = [folder / "metrics" / f"{setting}.json"]
        self.receipt(folder / "receipts" / "evaluate.json", f"evaluate/{who}", f"rediffuse evaluate {model.name}", made)
        self.examination(model, seed)

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
        self.receipt(
            folder / "receipt.json",
            "prepare",
            "rediffuse prepare",
            [folder / f for f in ("card.json", "images.npy", "held_out.npy")],
        )
        self.receipt(
            folder / "reference-efficientnet-lite0.receipt.json",
            "reference",
            "rediffuse reference",
            [folder / "reference-efficientnet-lite0.json"],
        )

    def real(self) -> None:
        folder = self.root / "runs" / self.name / "real"
        evaluation = self.loaded.study.evaluation
        n, groups = evaluation.group_size, evaluation.groups
        write_json(folder / "held-out.json", metrics_record("real", None, "held-out", 90.0, n=n, groups=1))
        write_json(folder / "noise.json", metrics_record("real", None, "noise", 3687.0, n=n, groups=groups))
        self.receipt(
            folder / "receipts" / "real.json",
            "real",
            "rediffuse real",
            [folder / "held-out.json", folder / "noise.json"],
        )

    def cost(self) -> None:
        """Exact counts of two small networks that are not the study's, and made-up times."""
        folder = self.root / "runs" / self.name / "cost"
        names = list(self.loaded.runs)
        record = exact_costs(tuple(names))
        write_json(folder / "cost.json", {"study": self.name, **record})
        key = self.receipt(folder / "receipts" / "cost.json", "cost", "rediffuse cost --record", [folder / "cost.json"])

        def spread(median: float) -> dict[str, Any]:
            return {"median": median, "low": 0.9 * median, "high": 1.2 * median, "repeats": 5}

        passes = {"batch": 16, "forward": spread(0.02), "backward": spread(0.05), "kappa": spread(2.5)}
        inference = {"batch": 16, "forward": spread(0.01)}
        timing = {
            "key": key,
            "machine": MACHINE,
            "seconds": 12.0,
            "measured_run": names[0],
            "runs": {name: {"training": passes, "sampling": inference} for name in names},
            "batches": [{"batch": batch, "forward": spread(0.001 * batch)} for batch in (1, 16)],
            "resolutions": [{"side": side, "batch": 4, "forward": spread(0.1)} for side in (8, 16, 32, 64)],
            "checkpointing": [{"on": False, **passes}, {"on": True, **passes, "backward": spread(0.085)}],
            "peaks": [
                {"batch": 16, "steps": None, "checkpointing": False, "bytes": 9 * 2**20},
                {"batch": 4, "steps": 2, "checkpointing": False, "bytes": 2**20},
                {"batch": 4, "steps": 20, "checkpointing": False, "bytes": None},
            ],
            "peak_method": "rise of the resident set",
        }
        write_json(folder / "timing" / "cost.json", timing)

    def run(
        self, run: ResolvedRun, seed: int, scale: float = 1.0, distances: Callable[[str, int], float] | None = None
    ) -> None:
        """Everything one run leaves, with Fréchet distances that fall with the number of steps."""
        folder = self.folder(run.name, seed)
        factor = (3.0 if run.diffusion.schedule == "linear" else 1.0) * scale
        random = np.random.default_rng([seed, *run.name.encode()])
        self.history(run, seed, random)
        (folder / "run.yaml").write_text(f"name: {run.name}\n")
        (folder / "weights.safetensors").write_bytes(b"weights of " + run.name.encode())
        (folder / "previews").mkdir(exist_ok=True)
        previews = [folder / "previews" / f"step-{step:06d}.png" for step in run.training.preview_steps]
        for path in previews:
            Image.fromarray(random.integers(0, 256, (37, 37), dtype=np.uint8)).save(path)
        key = self.receipt(
            folder / "receipts" / "train.json",
            f"train/{run.name}/seed{seed}",
            f"rediffuse train {run.name} --seed {seed}",
            [folder / "run.yaml", folder / "weights.safetensors", folder / "history.csv", *previews],
            settings=run.model_dump(mode="json", include={"network", "diffusion", "training"}),
        )
        write_json(
            folder / "timing" / "train.json",
            {
                "key": key,
                "seconds": 250.5,
                "steps": run.training.steps,
                "batch_size": run.training.batch_size,
                "ms_per_step": 50.1,
                "images_per_second": 2554.9,
                "parameters": 181_649 + 16 * (run.role == "improved"),
                "resumed_from": None,
                "sampling_seconds": 4.0 if run.during_training is not None else 0.0,
                "machine": MACHINE,
            },
        )
        (folder / "samples").mkdir(exist_ok=True)
        timings, samples, metrics = {}, [], []
        n, groups = run.evaluation.group_size, run.evaluation.groups
        for setting, sampler, steps in run.settings():
            distance = (
                distances(setting, steps)
                if distances
                else 75 + factor * (900 if "ddim" not in sampler else 200) / steps
            )
            samples.append(folder / "samples" / f"{setting}.npz")
            images = random.integers(0, 256, (min(64, run.sampling.images), 1, 8, 8), dtype=np.uint8)
            np.savez(samples[-1], images=images, stamp="test")
            kind = run.sampling.samplers[sampler].kind or sampler
            record = metrics_record(
                run.name,
                seed,
                setting,
                distance,
                n=n,
                groups=groups,
                study=self.name,
                role=run.role,
                sampler=sampler,
                kind=kind,
                steps=steps,
                nfe=steps,
            )
            metrics.append(folder / "metrics" / f"{setting}.json")
            write_json(metrics[-1], record)
            timings[setting] = {
                "seconds": 0.1 * steps,
                "ms_per_step": 100.0,
                "ms_per_image": 0.1 * steps / 1.08,
                "images": 1080,
                "batch_size": 1080,
                "nfe": steps,
            }
        who = f"{run.name}/seed{seed}"
        key = self.receipt(
            folder / "receipts" / "sample.json", f"sample/{who}", f"rediffuse sample {run.name} --seed {seed}", samples
        )
        write_json(folder / "timing" / "sample.json", {"key": key, "machine": MACHINE, "settings": timings})
        self.receipt(
            folder / "receipts" / "evaluate.json",
            f"evaluate/{who}",
            f"rediffuse evaluate {run.name} --seed {seed}",
            metrics,
        )

        if run.role != "ablation" and (self.root / "data").exists():
            self.examination(run, seed)

    def examination(self, run: ResolvedRun | ResolvedGenerator, seed: int) -> None:
        folder = self.folder(run.name, seed)
        write_examination(self, run, seed)
        made = [folder / "examination" / "examination.json"]
        if isinstance(run, ResolvedRun) and run.during_training is not None:
            write_training_scores(self, run, seed)
            made.append(folder / "examination" / "training.json")
        self.receipt(
            folder / "receipts" / "examine.json",
            f"examine/{run.name}/seed{seed}",
            f"rediffuse examine {run.name} --seed {seed}",
            made,
        )

    def history(self, run: ResolvedRun, seed: int, random: np.random.Generator) -> None:
        path = self.folder(run.name, seed) / "history.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        hybrid = run.diffusion.loss == "hybrid"
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

    def receipt(
        self, path: Path, job: str, command: str, outputs: list[Path], settings: dict[str, Any] | None = None
    ) -> str:
        """Write a receipt and return its key."""
        key = digest({"job": job})
        hashes = {str(output.relative_to(self.root)): sha256(output) for output in outputs}
        write_json(
            path,
            {
                "job": job,
                "key": key,
                "command": command,
                "commit": COMMIT,
                "code": digest(job + "code"),
                "settings": settings or {},
                "needs": {},
                "inputs": {},
                "outputs": hashes,
                "environment": {},
            },
        )
        return key

    def set_distance(self, run: str, setting: str, distance: float, seed: int = 0, spread: float = 0.02) -> None:
        """Give a cell another Fréchet distance."""
        path = self.folder(run, seed) / "metrics" / f"{setting}.json"
        record = json.loads(path.read_text())
        half = distance * spread
        record["metrics"]["frechet_distance"].update(value=distance, low=distance - half, high=distance + half)
        write_json(path, record)
