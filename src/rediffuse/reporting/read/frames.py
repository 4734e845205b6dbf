"""From files to tidy frames: what a study came to, none of it a time."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.config.sampling import Pace
from rediffuse.errors import UserError
from rediffuse.evaluation.metrics import CLASS_METRICS, COLOUR_METRICS, METRICS, RESTORED
from rediffuse.pipeline.evidence import evidence_file
from rediffuse.pipeline.plan import Plan
from rediffuse.reporting.read.files import read_json
from rediffuse.reporting.read.pedigree import Pedigree, read_pedigree
from rediffuse.reporting.read.pixels import asked_pixels, pixel_rows
from rediffuse.reporting.terms import RUN_SETTINGS, every_run, seeds_of
from rediffuse.runs import facts

NUMBERS = ("value", "low", "high", "std", "n", "interval")
FACTS = ("setting", "sampler", "kind", "steps", "eta", "variance", "nfe")
PLACE = ("run", "seed", "setting", "metric")
QUALITY = (*PLACE, *FACTS[1:], *NUMBERS, "groups", "group_values", "images", "unavailable", "file")
QUARTILES = ("loss_q1", "loss_q2", "loss_q3", "loss_q4")
LOSSES = ("loss", *QUARTILES, "mse", "vlb", "grad_norm", "learning_rate", "held_out_loss")
HISTORY = ("run", "seed", "step", *LOSSES, "file")
PARTS = ("prior", "steps", "decoder")
NETWORK = (*PLACE, "value", "low", "high", "n", "interval", "per_image", "file")
LIKELIHOOD = (*NETWORK[:-1], *PARTS, "file")
#: A metric that only examinations hold, where the study names weights for it.
LPIPS = "lpips_diversity"
#: Statistics of the colours of scored images, channels in [0, 1] (`ColourStatistics`), and their cast.
CHANNELS = ("red", "green", "blue")
HUES = ("cast", "between", "saturation", "hue", "hue_within", "hue_across")
COLOUR_FIELDS = {"colour_cast": "cast", "hue_agreement": "hue_across"}
COLOURS = ("run", "seed", "setting", *CHANNELS, *HUES, "images", "file")
BOUND = ("t", "bits_per_dim", "mse_eps", "mse_x0")
#: Share of the training whose mean is called the loss at the end.
END = 0.1


@dataclass(frozen=True, eq=False)
class Frames:
    """All that a report says, as read from disk, but times; what is not on disk has no row.

    quality: one row for each run, seed, setting and metric (run "real" holds the lines of held-out images and noise),
    groups: how many groups of images it is the mean of, group_values: the value of each;
    history: one row for each run, seed and logged step; one_pass_history: the same of one-pass models, whose columns
    are those of their kinds; colours: one row for each run, seed and setting of coloured images, held-out ones and
    noise as in quality; likelihood: one row for each run and seed, the bound and its parts; network: one row for each
    run, seed and metric of what a trained network tells by itself; bound: one row for each run, seed and t;
    real_classes: class metrics of held-out real images, where a run is class-conditional; ablations: what
    evidence/ablations.json holds; cost: what cost/cost.json says of the networks, exact.
    """

    loaded: LoadedStudy
    root: Path
    quality: pd.DataFrame
    history: pd.DataFrame
    colours: pd.DataFrame
    likelihood: pd.DataFrame
    network: pd.DataFrame
    bound: pd.DataFrame
    one_pass_history: pd.DataFrame
    real_classes: dict[str, Any] | None
    ablations: list[dict[str, Any]]
    card: dict[str, Any] | None
    reference: dict[str, Any] | None
    cost: dict[str, Any] | None
    pedigree: Pedigree

    def measured(self) -> pd.DataFrame:
        """Everything that cells are made of: the metrics of samples, and those of a run itself."""
        return pd.concat([self.quality, *(frame for frame in (self.likelihood, self.network) if len(frame))])

    @property
    def ablations_file(self) -> str:
        """Where the record of ablations lies, relative to the root."""
        return str(evidence_file(self.loaded.study.study))

    @property
    def features(self) -> str:
        """Name of the feature network."""
        return self.loaded.study.evaluation.features


def read_frames(loaded: LoadedStudy, root: Path, plan: Plan | None = None) -> Frames:
    """Read everything the deterministic part of a report needs; paths are relative to `root`, the project's.

    Without a plan the pedigree is empty, and no file is digested. UserError: a file is damaged or was made for another
    study; the line names it.
    """
    study, features = loaded.study.study, loaded.study.evaluation.features
    quality: list[dict[str, Any]] = []
    history: list[pd.DataFrame] = []
    colours: list[dict[str, Any]] = []
    likelihood: list[dict[str, Any]] = []
    network: list[dict[str, Any]] = []
    bound: list[pd.DataFrame] = []
    one_pass_history: list[pd.DataFrame] = []
    asked = asked_pixels(loaded)
    for name in ("held-out", "noise"):
        scores, seen = _scored(features, root, Path("runs", study, "real", f"{name}.json"), "real", name)
        quality, colours = quality + scores, colours + seen
    for run, seed in seeds_of(every_run(loaded)):
        folder = facts.folder(run, seed)
        who: dict[str, Any] = {"run": run.name, "seed": seed}
        for setting, _, _ in facts.settings(run):
            scores, seen = _scored(features, root, folder / "metrics" / f"{setting}.json", run.name, setting)
            scores += pixel_rows(root, run, seed, scores, asked)
            quality, colours = quality + scores, colours + seen
        if loaded.study.evaluation.lpips:
            quality += _perceptual(root, run, seed, held_out=not any(r["metric"] == LPIPS for r in quality))
        # What no job of this study makes may still lie there, from before the study was changed.
        if facts.bounds_likelihood(run):
            likelihood += [{**who, **row} for row in _likelihood(root, folder / "likelihood" / "nll.json")]
        for made, name, rows in (
            (run.probed, "probe/probe.json", network_rows),
            (run.restores, "restoration/psnr.json", restored_rows),
        ):
            if not made:
                continue
            path = folder / name
            network += [{**row, **who, "file": str(path)} for row in rows(read_json(root / path), path)]
        one_pass = facts.is_one_pass(run)
        needed = ("step",) if one_pass else ("step", "loss", "grad_norm")
        losses = _csv(root, folder / "history.csv", needed, "is not a training history")
        (one_pass_history if one_pass else history).extend(frame.assign(**who) for frame in losses)
        terms = _csv(root, folder / "likelihood" / "terms.csv", BOUND, "holds no terms of a bound")
        bound += [frame[[*BOUND, "file"]].assign(**who) for frame in terms]
    data = root / "data" / loaded.study.data.name
    ablations = read_json(root / evidence_file(study)) or []
    pedigree = Pedigree({}) if plan is None else read_pedigree(plan, root)
    return Frames(
        loaded=loaded,
        root=root,
        quality=pd.DataFrame(quality, columns=list(QUALITY)),
        history=_joined(history, HISTORY),
        colours=pd.DataFrame(colours, columns=list(COLOURS)),
        likelihood=pd.DataFrame(likelihood, columns=list(LIKELIHOOD)),
        network=pd.DataFrame(network, columns=list(NETWORK)),
        bound=_joined(bound, ("run", "seed", *BOUND, "file")),
        one_pass_history=pd.concat(one_pass_history) if one_pass_history else pd.DataFrame(columns=["run", "seed"]),
        real_classes=_real_classes(loaded, root),
        ablations=ablations,
        card=read_json(data / "card.json"),
        reference=read_json(data / f"reference-{features}.json"),
        cost=read_json(root / cost_file(study)),
        pedigree=pedigree.with_ablations(ablations, str(evidence_file(study))),
    )


def cost_file(study: str) -> Path:
    """Where the exact cost of the networks is written, relative to the root."""
    return Path("runs", study, "cost", "cost.json")


def metric_rows(record: dict[str, Any]) -> list[dict[str, Any]]:
    """One row for each metric of a metrics file's content, without run, seed and file."""
    shared = {name: record.get(name) for name in FACTS}
    rows = []
    for metric in (*METRICS, *CLASS_METRICS):
        if (estimate := record["metrics"].get(metric)) is not None:
            numbers = {name: estimate.get(name) for name in NUMBERS}
            groups = list(estimate.get("groups") or ())
            other = {"groups": len(groups), "group_values": groups, "unavailable": estimate.get("unavailable")}
            rows.append({**shared, "metric": metric, **numbers, **other, "images": record.get("images")})
    colours = record.get("colours") or {}
    for metric in COLOUR_METRICS:
        if (value := colours.get(COLOUR_FIELDS[metric])) is not None:
            found = {"value": value, "n": colours["images"], "interval": "none: one value of all images"}
            rows.append({**shared, "metric": metric, **found, "images": colours["images"]})
    return rows


def network_rows(record: dict[str, Any] | None, path: object) -> list[dict[str, Any]]:
    """One row for each metric of what a network tells by itself, without run, seed and file;
    UserError if it is not that.
    """
    try:
        found = {} if record is None else record["metrics"]
        numbers = ("value", "low", "high", "n", "interval")
        return [
            {"metric": metric, "setting": RUN_SETTINGS[metric], "per_image": estimate.get("per_image")}
            | {name: estimate[name] for name in numbers}
            for metric, estimate in found.items()
            if estimate["value"] is not None
        ]
    except (KeyError, AttributeError, TypeError):
        raise UserError(f"{path}: does not say what a network tells by itself; remove it and run `dvc repro`") from None


def restored_rows(record: dict[str, Any] | None, path: object) -> list[dict[str, Any]]:
    """One row for each way of making damaged images good, without run, seed and file;
    UserError if it is no such record.
    """
    try:
        tasks, rows = {} if record is None else record["tasks"], []
        for setting, (task, method, _) in RESTORED.items():
            score = tasks.get(task, {})
            found = score.get("damaged") if method == "damaged" else score.get("restored", {}).get(method)
            if found is not None:
                numbers = {name: found[name] for name in ("value", "low", "high", "n", "interval")}
                rows.append({"metric": "psnr", "setting": setting, "per_image": found.get("per_image"), **numbers})
        return rows
    except (KeyError, AttributeError, TypeError):
        raise UserError(f"{path}: does not say how well images were restored; remove it and run `dvc repro`") from None


def of_run(frame: pd.DataFrame, run: ResolvedRun, seed: int, setting: str | None = None) -> pd.DataFrame:
    """The rows of a run and seed, of one setting where it is given."""
    rows = frame[(frame["run"] == run.name) & (frame["seed"] == seed)]
    return rows if setting is None else rows[rows["setting"] == setting]


def final_loss(history: pd.DataFrame) -> float:
    """Mean loss over the last tenth of a run's training (at least its last logged row)."""
    tail = history[history["step"] > (1 - END) * history["step"].max()]
    return float(tail["loss"].mean())


def _scored(
    features: str, root: Path, path: Path, run: str, setting: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `quality` and of `colours` of a metrics file; none when there is no file."""
    record = read_json(root / path)
    if record is None:
        return [], []
    if (found := record.get("features")) != features:
        raise UserError(f"{path}: was scored with {found}, the study says {features}; run `dvc repro` to score it anew")
    try:
        who = {"run": run, "seed": record.get("seed"), "setting": setting, "file": str(path)}
        colours = []
        if (found := record.get("colours")) is not None:
            colours = [{**found, **dict(zip(CHANNELS, found["mean"], strict=True)), **who}]
        return [{**row, **who} for row in metric_rows(record)], colours
    except (KeyError, AttributeError, TypeError, ValueError):
        raise UserError(f"{path}: is not a metrics file; remove it and run `dvc repro`") from None


def _perceptual(root: Path, run: ResolvedRun, seed: int, held_out: bool) -> list[dict[str, Any]]:
    """LPIPS diversity of the setting that stands for a run and, where `held_out`, that of held-out images."""
    path = facts.folder(run, seed) / "examination" / "examination.json"
    found = (read_json(root / path) or {}).get("lpips")
    if found is None:
        return []
    rows = []
    places: list[tuple[str, int | None, tuple[str, str, Pace | None], str]] = [
        (run.name, seed, facts.shown_setting(run), "samples"),
        ("real", None, ("held-out", "held-out", None), "held_out"),
    ]
    for name, of_seed, (setting, sampler, steps), group in places if held_out else places[:1]:
        groups = list(found[group]["groups"])
        numbers = {key: found[group][key] for key in NUMBERS} | {"groups": len(groups), "group_values": groups}
        who = {"run": name, "seed": of_seed, "setting": setting, "sampler": sampler, "steps": steps, "file": str(path)}
        rows.append({**who, "metric": LPIPS, **numbers})
    return rows


def _csv(root: Path, path: Path, needed: tuple[str, ...], wrong: str) -> list[pd.DataFrame]:
    """A CSV file as a frame with a column of its path, none when there is no file; UserError without `needed`."""
    try:
        frame = pd.read_csv(io.StringIO((root / path).read_text(encoding="utf-8")), float_precision="round_trip")
        _ = frame[list(needed)]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError):
        raise UserError(f"{path}: {wrong}; run `dvc repro` to make it again") from None
    return [frame.assign(file=str(path))]


def _joined(parts: list[pd.DataFrame], columns: tuple[str, ...]) -> pd.DataFrame:
    # Columns without any number are left out of the concatenation, whose dtype they would make ambiguous.
    joined = pd.concat([part.dropna(axis=1, how="all") for part in parts]) if parts else pd.DataFrame()
    return joined.reindex(columns=list(columns)).reset_index(drop=True)


def _real_classes(loaded: LoadedStudy, root: Path) -> dict[str, Any] | None:
    """What the evaluation of a class-conditional run says of real images: the same in each of its files."""
    for run, seed in seeds_of(every_run(loaded)):
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
        parts = {name: record["parts"].get(name) for name in PARTS}
    except (KeyError, AttributeError, TypeError, ValueError):
        raise UserError(f"{path}: is not a likelihood; remove it and run `dvc repro`") from None
    numbers["per_image"] = record.get("per_image")
    return [{"metric": metric, "setting": RUN_SETTINGS[metric], **numbers, **parts, "file": str(path)}]
