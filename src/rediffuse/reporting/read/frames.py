"""From files to tidy frames. With `pedigree` and `evidence`, the only place of the report that reads files."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.errors import UserError
from rediffuse.evaluation.metrics import CLASS_METRICS, METRICS, find_metric
from rediffuse.pipeline.plan import Job, Plan, evidence_file
from rediffuse.pipeline.receipts import read_receipt
from rediffuse.reporting.read.evidence import times_file
from rediffuse.reporting.read.pedigree import Pedigree, read_pedigree
from rediffuse.reporting.read.records import read_json
from rediffuse.runs import facts

QUALITY = (
    "run", "seed", "setting", "sampler", "kind", "steps", "eta", "variance", "nfe", "metric", "value", "low", "high",
    "std", "n", "groups", "images", "interval", "unavailable", "file",
)  # fmt: skip
TRAINING = (
    "run", "seed", "seconds", "steps", "batch_size", "ms_per_step", "images_per_second", "resumed_from", "machine", "file",
)  # fmt: skip
SAMPLING = (
    "run", "seed", "setting", "seconds", "ms_per_step", "ms_per_image", "images", "batch_size", "nfe", "machine",
    "file",
)  # fmt: skip
HISTORY = (
    "run", "seed", "step", "loss", "loss_q1", "loss_q2", "loss_q3", "loss_q4", "mse", "vlb", "grad_norm",
    "learning_rate", "held_out_loss", "file",
)  # fmt: skip
LIKELIHOOD = (
    "run", "seed", "setting", "metric", "value", "low", "high", "n", "interval", "per_image", "prior", "steps", "decoder",
    "file",
)  # fmt: skip
#: A metric that only examinations hold, where the study names weights for it.
LPIPS = "lpips_diversity"
#: Statistics of the colours of scored images, channels in [0, 1] (`ColourStatistics`), and their cast.
COLOURS = (
    "run", "seed", "setting", "red", "green", "blue", "cast", "between", "saturation", "hue", "hue_within",
    "hue_across", "images", "file",
)  # fmt: skip
BOUND = ("run", "seed", "t", "bits_per_dim", "mse_eps", "mse_x0", "file")


@dataclass(frozen=True, eq=False)
class Frames:
    """All that a report says, as read from disk; what is not on disk has no row.

    quality: one row for each run, seed, setting and metric (run "real" holds the lines of held-out images and noise);
    history: one row for each run, seed and logged step; training, sampling: timings, which belong to a machine;
    colours: one row for each run, seed and setting of coloured images, held-out ones and noise as in quality;
    likelihood: one row for each run and seed, the bound and its parts; bound: one row for each run, seed and t;
    one_pass_history, one_pass_likelihood: what one-pass models have in the place of history and likelihood, the columns
    of the first being those of the models' kinds; their quality, training and sampling stand with those of the runs;
    real_classes: class metrics of held-out real images, where a run is class-conditional; ablations: what evidence/ablations.json holds;
    cost: what cost/cost.json says of the networks, exact; cost_timing: what was measured of them, with its file;
    parameters: of each run, those that make an image and all that are trained; following: seconds that drawing and
    scoring a training's snapshots took, by run and seed.
    """

    loaded: LoadedStudy
    root: Path
    quality: pd.DataFrame
    history: pd.DataFrame
    training: pd.DataFrame
    sampling: pd.DataFrame
    colours: pd.DataFrame
    likelihood: pd.DataFrame
    bound: pd.DataFrame
    one_pass_history: pd.DataFrame
    one_pass_likelihood: pd.DataFrame
    real_classes: dict[str, Any] | None
    ablations: list[dict[str, Any]]
    ablations_file: str
    ablation_times: dict[str, dict[str, Any]]
    card: dict[str, Any] | None
    reference: dict[str, Any] | None
    cost: dict[str, Any] | None
    cost_timing: dict[str, Any] | None
    pedigree: Pedigree
    plan: Plan
    parameters: dict[str, tuple[int, int]]
    following: dict[tuple[str, int], float]

    def models(self) -> list[ResolvedRun]:
        """The runs, then the one-pass models."""
        return [*facts.diffusion_runs(self.loaded).values(), *facts.one_pass_runs(self.loaded).values()]

    def measured(self) -> pd.DataFrame:
        """Everything that cells are made of: the metrics of samples, and those of a run itself."""
        return pd.concat([self.quality, *(part for part in (self.likelihood, self.one_pass_likelihood) if len(part))])

    @property
    def features(self) -> str:
        """Name of the feature network."""
        return self.loaded.study.evaluation.features


def read_frames(loaded: LoadedStudy, plan: Plan, root: Path) -> Frames:
    """Read everything the report needs.

    Args:
        loaded: the study; plan: its jobs, which say where everything lies.
        root: the project's root, to which all paths are relative.

    Raises:
        UserError: a file is damaged or was made for another study; the line names it.
    """
    pedigree = read_pedigree(plan, root)
    quality: list[dict[str, Any]] = []
    history: list[pd.DataFrame] = []
    training: list[dict[str, Any]] = []
    sampling: list[dict[str, Any]] = []
    colours: list[dict[str, Any]] = []
    likelihood: list[dict[str, Any]] = []
    bound: list[pd.DataFrame] = []
    one_pass_history: list[pd.DataFrame] = []
    one_pass_likelihood: list[dict[str, Any]] = []
    for name in ("held-out", "noise"):
        scores, seen = _scored(loaded, root, plan.find("real").folder / f"{name}.json", "real", name)
        quality, colours = quality + scores, colours + seen
    parameters: dict[str, tuple[int, int]] = {}
    following: dict[tuple[str, int], float] = {}
    for run in [*facts.diffusion_runs(loaded).values(), *facts.one_pass_runs(loaded).values()]:
        for seed in run.seeds:
            if (counts := _parameters(root / facts.folder(run, seed) / "run.yaml")) is not None:
                parameters.setdefault(run.name, counts)
            if plan.has("follow", run.name, seed):
                for timing in _timing(root, plan.find("follow", run.name, seed)):
                    following[run.name, seed] = timing["seconds"]
            folder = facts.folder(run, seed)
            for setting, _, _ in facts.settings(run):
                scores, seen = _scored(loaded, root, folder / "metrics" / f"{setting}.json", run.name, setting)
                quality, colours = quality + scores, colours + seen
            quality += _perceptual(loaded, root, run, seed, held_out=not any(r["metric"] == LPIPS for r in quality))
            who: dict[str, Any] = {"run": run.name, "seed": seed}
            for timing in _timing(root, plan.find("train", run.name, seed)):
                resumed = timing.get("resumed_from")
                row = {**dict.fromkeys(TRAINING), **timing, **who}
                training.append({**row, "resumed_from": "no" if resumed is None else str(resumed)})
            for timing in _timing(root, plan.find("sample", run.name, seed)):
                for setting, measured in timing["settings"].items():
                    drawn = {**dict.fromkeys(SAMPLING), **measured, **who, "setting": setting}
                    sampling.append({**drawn, "machine": timing["machine"], "file": timing["file"]})
            bounds = [{**who, **row} for row in _likelihood(root, folder / "likelihood" / "nll.json")]
            if facts.is_one_pass(run):
                one_pass_likelihood += bounds
                one_pass_history += [h.assign(**who) for h in _losses(root, folder / "history.csv")]
                continue
            likelihood += bounds
            history += _history(root, folder / "history.csv", run.name, seed)
            bound += [terms.assign(**who) for terms in _bound(root, folder / "likelihood" / "terms.csv")]
    cost, data = plan.find("cost"), root / plan.find("prepare").folder
    cost_timings = _timing(root, cost)
    ablations_file = str(evidence_file(plan.study))
    ablations = read_json(root / ablations_file) or []
    return Frames(
        loaded=loaded,
        root=root,
        quality=pd.DataFrame(quality, columns=list(QUALITY)),
        history=_joined(history),
        training=pd.DataFrame(training, columns=list(TRAINING)),
        sampling=pd.DataFrame(sampling, columns=list(SAMPLING)),
        colours=pd.DataFrame(colours, columns=list(COLOURS)),
        likelihood=pd.DataFrame(likelihood, columns=list(LIKELIHOOD)),
        bound=(pd.concat(bound) if bound else pd.DataFrame()).reindex(columns=list(BOUND)),
        one_pass_history=pd.concat(one_pass_history) if one_pass_history else pd.DataFrame(columns=["run", "seed"]),
        one_pass_likelihood=pd.DataFrame(one_pass_likelihood, columns=list(LIKELIHOOD)),
        real_classes=_real_classes(loaded, root),
        ablations=ablations,
        ablations_file=ablations_file,
        ablation_times=read_json(root / times_file(plan.study)) or {},
        card=read_json(data / "card.json"),
        reference=read_json(data / f"reference-{loaded.study.evaluation.features}.json"),
        cost=read_json(root / cost.outputs[0]),
        cost_timing=cost_timings[0] if cost_timings else None,
        pedigree=pedigree.with_ablations(ablations, ablations_file),
        plan=plan,
        parameters=parameters,
        following=following,
    )


def metric_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each metric of a metrics file's content, without run, seed and file."""
    shared = {name: record.get(name) for name in ("setting", "sampler", "kind", "steps", "eta", "variance", "nfe")}
    rows = []
    for metric in [*METRICS, *CLASS_METRICS]:
        estimate = record["metrics"].get(metric)
        if estimate is None:
            continue
        numbers = {name: estimate.get(name) for name in ("value", "low", "high", "std", "n", "interval")}
        groups = len(estimate.get("groups") or ())
        other = {"groups": groups, "images": record.get("images"), "unavailable": estimate.get("unavailable")}
        rows.append({**shared, "metric": metric, **numbers, **other})
    return rows


def _scored(
    loaded: LoadedStudy, root: Path, path: Path, run: str, setting: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `quality` and of `colours` of a metrics file; none when there is no file."""
    record = read_json(root / path)
    if record is None:
        return [], []
    wanted = loaded.study.evaluation.features
    if record.get("features") != wanted:
        raise UserError(
            f"{path}: was scored with {record.get('features')}, the study says {wanted}; run `dvc repro` to score it "
            "anew"
        )
    try:
        who = {"run": run, "seed": record.get("seed"), "setting": setting, "file": str(path)}
        colours = []
        if (found := record.get("colours")) is not None:
            colours = [{**found, **dict(zip(("red", "green", "blue"), found["mean"], strict=True)), **who}]
        return [{**row, **who} for row in metric_rows(record)], colours
    except (KeyError, AttributeError, TypeError, ValueError):
        raise UserError(f"{path}: is not a metrics file; remove it and run `dvc repro`") from None


def _perceptual(loaded: LoadedStudy, root: Path, run: ResolvedRun, seed: int, held_out: bool) -> list[dict[str, Any]]:
    """LPIPS diversity of the setting that stands for a model and, where `held_out`, that of held-out images."""
    path = facts.folder(run, seed) / "examination" / "examination.json"
    record = read_json(root / path) if loaded.study.evaluation.lpips else None
    found = (record or {}).get("lpips")
    if found is None:
        return []
    rows = []
    places: list[tuple[str, int | None, tuple[str, str, int | None], str]] = [
        (run.name, seed, facts.shown_setting(run), "samples"),
        ("real", None, ("held-out", "held-out", None), "held_out"),
    ]
    for name, of_seed, (setting, sampler, steps), group in places if held_out else places[:1]:
        estimate = found[group]
        numbers = {key: estimate[key] for key in ("value", "low", "high", "std", "n", "interval")}
        who = {"run": name, "seed": of_seed, "setting": setting, "sampler": sampler, "steps": steps, "file": str(path)}
        rows.append({**who, "metric": LPIPS, **numbers, "groups": len(estimate["groups"])})
    return rows


def _history(root: Path, path: Path, run: str, seed: int) -> list[pd.DataFrame]:
    try:
        text = (root / path).read_text(encoding="utf-8")
        frame = pd.read_csv(io.StringIO(text), float_precision="round_trip")
        _ = frame[["step", "loss", "grad_norm"]]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError):
        raise UserError(f"{path}: is not a training history; run `dvc repro` to make it again") from None
    return [frame.assign(run=run, seed=seed, file=str(path)).reindex(columns=list(HISTORY))]


def _losses(root: Path, path: Path) -> list[pd.DataFrame]:
    """The history of a one-pass model, whose columns are those of its kind."""
    try:
        frame = pd.read_csv(root / path, float_precision="round_trip")
        _ = frame["step"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError):
        raise UserError(f"{path}: is not a training history; run `dvc repro` to make it again") from None
    return [frame.assign(file=str(path))]


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    # Columns without any number are left out of the concatenation, whose dtype they would make ambiguous.
    joined = pd.concat([part.dropna(axis=1, how="all") for part in parts]) if parts else pd.DataFrame()
    return joined.reindex(columns=list(HISTORY)).reset_index(drop=True)


def _timing(root: Path, job: Job) -> list[dict[str, Any]]:
    """What was measured when a job's files were made; nothing where they were made elsewhere, or are others."""
    live, receipt = read_json(root / job.timing), read_receipt(root / job.receipt)
    if live is None or (receipt is not None and receipt["key"] != live.get("key")):
        return []
    return [{**live, "file": str(job.timing)}]


def _parameters(path: Path) -> tuple[int, int] | None:
    """Parameters that make an image, and those that were trained, as a training wrote them down."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))["parameters"]
        return int(said["makes_images"]), int(said["trained"])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return None


def _real_classes(loaded: LoadedStudy, root: Path) -> dict[str, Any] | None:
    """What the evaluation of a class-conditional run says of real images: the same in each of its files."""
    for run in facts.diffusion_runs(loaded).values():
        for seed in run.seeds:
            for setting, _, _ in facts.settings(run):
                record = read_json(root / facts.folder(run, seed) / "metrics" / f"{setting}.json") or {}
                if "real_classes" in record:
                    return record["real_classes"]
    return None


def _likelihood(root: Path, path: Path) -> list[dict[str, Any]]:
    record = read_json(root / path)
    if record is None:
        return []
    try:
        [(metric, estimate)] = record["metrics"].items()
        numbers = {name: estimate[name] for name in ("value", "low", "high", "n", "interval")}
        parts = {name: record["parts"].get(name) for name in ("prior", "steps", "decoder")}
    except (KeyError, AttributeError, TypeError, ValueError):
        raise UserError(f"{path}: is not a likelihood; remove it and run `dvc repro`") from None
    numbers["per_image"] = record.get("per_image")
    return [{"metric": metric, "setting": find_metric(metric).setting, **numbers, **parts, "file": str(path)}]


def _bound(root: Path, path: Path) -> list[pd.DataFrame]:
    try:
        frame = pd.read_csv(root / path, float_precision="round_trip")
        return [frame[["t", "bits_per_dim", "mse_eps", "mse_x0"]].assign(file=str(path))]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError):
        raise UserError(f"{path}: holds no terms of a bound; run `dvc repro` to make it again") from None
