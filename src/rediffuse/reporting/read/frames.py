"""From files to tidy frames. With `pedigree` and `evidence`, the only place of the report that reads files."""

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rediffuse.config import LoadedStudy, ResolvedGenerator, ResolvedRun
from rediffuse.config.facts import CLASS_METRICS, METRICS, RUN_SETTINGS
from rediffuse.errors import UserError
from rediffuse.reporting.read.paths import cost_folder, data_folder, evidence_folder, real_folder
from rediffuse.reporting.read.pedigree import Pedigree, read_pedigree

QUALITY = (
    "run", "seed", "setting", "sampler", "kind", "steps", "eta", "variance", "nfe", "metric", "value", "low", "high",
    "std", "n", "groups", "images", "interval", "unavailable", "file",
)  # fmt: skip
TRAINING = (
    "run", "seed", "seconds", "steps", "batch_size", "ms_per_step", "images_per_second", "parameters", "parameters_trained",
    "resumed_from", "sampling_seconds", "machine", "file",
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
    cost: what cost/cost.json says of the networks, exact; cost_timing: what was measured of them, with its file.
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
    card: dict[str, Any] | None
    reference: dict[str, Any] | None
    cost: dict[str, Any] | None
    cost_timing: dict[str, Any] | None
    pedigree: Pedigree

    def models(self) -> list[ResolvedRun | ResolvedGenerator]:
        """The runs, then the one-pass models."""
        return [*self.loaded.runs.values(), *self.loaded.generators.values()]

    def measured(self) -> pd.DataFrame:
        """Everything that cells are made of: the metrics of samples, and those of a run itself."""
        return pd.concat([self.quality, *(part for part in (self.likelihood, self.one_pass_likelihood) if len(part))])

    @property
    def features(self) -> str:
        """Name of the feature network."""
        return self.loaded.study.evaluation.features


def read_frames(loaded: LoadedStudy, root: Path, evidence: Path | None = None) -> Frames:
    """Read everything the report needs.

    Args:
        loaded: the study.
        root: the project's root, to which all paths are relative.
        evidence: folder of timings.json and ablations.json; the study's own below `root` when absent.

    Raises:
        UserError: a file is damaged or was made for another study; the line names it.
    """
    study = loaded.study.study
    evidence = evidence or root / evidence_folder(study)
    pedigree = read_pedigree(loaded, root)
    known_timings = read_json(evidence / "timings.json") or {}
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
        scores, seen = _scored(loaded, root, real_folder(study) / f"{name}.json", "real", name)
        quality, colours = quality + scores, colours + seen
    models: list[ResolvedRun | ResolvedGenerator] = [*loaded.runs.values(), *loaded.generators.values()]
    for run in models:
        for seed in run.seeds:
            folder = run.folder(seed)
            for setting, _, _ in run.settings():
                scores, seen = _scored(loaded, root, folder / "metrics" / f"{setting}.json", run.name, setting)
                quality, colours = quality + scores, colours + seen
            quality += _perceptual(loaded, root, run, seed, held_out=not any(r["metric"] == LPIPS for r in quality))
            who: dict[str, Any] = {"run": run.name, "seed": seed}
            for timing in _timing(root, folder, run.train_stage, pedigree, known_timings, evidence):
                resumed = timing.get("resumed_from")
                row = {**dict.fromkeys(TRAINING), **timing, **who}
                training.append({**row, "resumed_from": "no" if resumed is None else str(resumed)})
            for timing in _timing(root, folder, run.sample_stage, pedigree, known_timings, evidence):
                for setting, measured in timing["settings"].items():
                    drawn = {**dict.fromkeys(SAMPLING), **measured, **who, "setting": setting}
                    sampling.append({**drawn, "machine": timing["machine"], "file": timing["file"]})
            bounds = [{**who, **row} for row in _likelihood(root, folder / "likelihood" / "nll.json")]
            if isinstance(run, ResolvedGenerator):
                one_pass_likelihood += bounds
                one_pass_history += [h.assign(**who) for h in _losses(root, folder / "history.csv")]
                continue
            likelihood += bounds
            history += _history(root, folder / "history.csv", run.name, seed)
            bound += [terms.assign(**who) for terms in _bound(root, folder / "likelihood" / "terms.csv")]
    data = root / data_folder(loaded)
    cost = cost_folder(study)
    cost_timings = _timing(root, cost, "cost", pedigree, known_timings, evidence)
    ablations = read_json(evidence / "ablations.json") or []
    ablations_file = _name(evidence / "ablations.json", root)
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
        card=read_json(data / "card.json"),
        reference=read_json(data / f"reference-{loaded.study.evaluation.features}.json"),
        cost=read_json(root / cost / "cost.json"),
        cost_timing=cost_timings[0] if cost_timings else None,
        pedigree=pedigree.with_ablations(ablations, ablations_file),
    )


def read_json(path: Path) -> Any:
    """Content of a JSON file, None when there is none; UserError when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: is not JSON ({error}); remove it and make it again with `dvc repro`") from None


def metric_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each metric of a metrics file's content, without run, seed and file."""
    shared = {name: record.get(name) for name in ("setting", "sampler", "kind", "steps", "eta", "variance", "nfe")}
    rows = []
    for metric in METRICS | CLASS_METRICS:
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


def _perceptual(
    loaded: LoadedStudy, root: Path, run: ResolvedRun | ResolvedGenerator, seed: int, held_out: bool
) -> list[dict[str, Any]]:
    """LPIPS diversity of the setting that stands for a model and, where `held_out`, that of held-out images."""
    path = run.folder(seed) / "examination" / "examination.json"
    record = read_json(root / path) if loaded.study.evaluation.lpips else None
    found = (record or {}).get("lpips")
    if found is None:
        return []
    rows = []
    places: list[tuple[str, int | None, tuple[str, str, int | None], str]] = [
        (run.name, seed, run.shown_setting(), "samples"),
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


def _timing(
    root: Path, folder: Path, stage: str, pedigree: Pedigree, known: dict[str, Any], evidence: Path
) -> list[dict[str, Any]]:
    """The timing of a job: the live file if it belongs to the files on disk, else what the evidence kept of it."""
    path = folder / "timing" / f"{stage}.json"
    live = read_json(root / path)
    key = pedigree.key(folder / "receipts" / f"{stage}.json")
    if live is not None and key in (None, live.get("key")):
        return [{**live, "file": str(path)}]
    if key in known:
        return [{**known[key], "file": _name(evidence / "timings.json", root)}]
    return []


def _name(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else path.name


def _real_classes(loaded: LoadedStudy, root: Path) -> dict[str, Any] | None:
    """What the evaluation of a class-conditional run says of real images: the same in each of its files."""
    for run in loaded.runs.values():
        for seed in run.seeds:
            for setting, _, _ in run.settings():
                record = read_json(root / run.folder(seed) / "metrics" / f"{setting}.json") or {}
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
    return [{"metric": metric, "setting": RUN_SETTINGS[metric], **numbers, **parts, "file": str(path)}]


def _bound(root: Path, path: Path) -> list[pd.DataFrame]:
    try:
        frame = pd.read_csv(root / path, float_precision="round_trip")
        return [frame[["t", "bits_per_dim", "mse_eps", "mse_x0"]].assign(file=str(path))]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError):
        raise UserError(f"{path}: holds no terms of a bound; run `dvc repro` to make it again") from None
