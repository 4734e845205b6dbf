"""The kept results of the runs that experiments trained, in the form of those of the main runs; and losses of both."""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import pandas as pd

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.config.sampling import PACES, Pace
from rediffuse.reporting.read.evidence import overrides
from rediffuse.reporting.read.frames import Frames, metric_rows, network_rows, restored_rows
from rediffuse.reporting.read.pedigree import ablation_place
from rediffuse.reporting.terms import RUN_SETTINGS
from rediffuse.runs import facts

Place = tuple[str, str]


class Losses(NamedTuple):
    """The logged losses of a training: training step and loss of each row, and where they are kept."""

    rows: tuple[tuple[int, float], ...]
    file: str


def trained_rows(frames: Frames) -> pd.DataFrame:
    """Rows as of `Frames.quality`, their place in the evidence as the file."""
    rows = []
    for entry in entries(frames):
        who, place = {"run": entry["ablation"], "seed": entry["seed"]}, ablation_place(frames.ablations_file, entry)
        own = network_rows(entry.get("network"), place) + restored_rows(entry.get("restoration"), place)
        rows += [{**row, **who, "file": place} for row in own]
        for setting, record in entry["metrics"].items():
            if record.get("features") == frames.features:
                rows += [{**row, **who, "setting": setting, "file": place} for row in metric_rows(record)]
    return pd.DataFrame(rows)


def pooled(loaded: LoadedStudy) -> dict[Place, Place]:
    """(run, setting) of trained runs that change nothing but the seed → the same way of sampling of the main run."""
    found: dict[Place, Place] = {}
    for run in loaded.ablations.values():
        if run.of is not None and not run.overrides:
            theirs = {content: setting for setting, content in _contents(loaded.runs[run.of])}
            alone = {(run.name, setting): (run.of, setting) for setting in RUN_SETTINGS.values()}
            found |= alone | {
                (run.name, s): (run.of, theirs[content]) for s, content in _contents(run) if content in theirs
            }
    return found


def _contents(run: ResolvedRun) -> Iterator[tuple[str, tuple[Pace, str]]]:
    """Each setting with what it does, whatever its sampler is called."""
    for setting, key, steps in facts.settings(run):
        sampler = run.sampling.samplers[key]
        named = sampler.model_copy(update={"kind": sampler.kind or key})
        yield setting, (steps, named.model_dump_json(exclude=PACES))


def losses(frames: Frames) -> dict[tuple[str, int], Losses]:
    """What was logged of each training, by run and seed."""
    found = {}
    for who, rows in frames.history.groupby(["run", "seed"], sort=False):
        run, seed = cast(tuple[str, int], who)
        pairs = tuple(zip(map(int, rows["step"]), map(float, rows["loss"]), strict=True))
        found[str(run), int(seed)] = Losses(pairs, str(rows["file"].iloc[0]))
    for entry in entries(frames):
        if (kept := entry.get("history")) is not None:
            place = ablation_place(frames.ablations_file, entry)
            found[entry["ablation"], entry["seed"]] = Losses(tuple(zip(kept["step"], kept["loss"], strict=True)), place)
    return found


def restorations(frames: Frames) -> Iterator[tuple[ResolvedRun, int, dict[str, Any], str]]:
    """(run, seed, record, place) of what these runs made of damaged images."""
    for entry in entries(frames):
        run = frames.loaded.ablations[entry["ablation"]]
        if "restoration" in entry and run.restores:
            yield run, entry["seed"], entry["restoration"], ablation_place(frames.ablations_file, entry)


def entries(frames: Frames) -> Iterator[dict[str, Any]]:
    """The evidence of what the study trains today: other overrides under the same name are another run."""
    for entry in frames.ablations:
        run = frames.loaded.ablations.get(entry["ablation"])
        if (
            run is not None
            and entry["seed"] in run.seeds
            and entry.get("overrides") == overrides(frames.loaded, run.name)
        ):
            yield entry
