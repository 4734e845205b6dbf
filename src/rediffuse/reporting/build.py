"""The report of a study, from files on disk to files on disk, in two parts.

The deterministic part (report.md, tables/, figures/, metrics.json, claims.json) says the same on every machine and at
every time. What this machine took (timings.md, timings/) is written anew each time. report.html shows both.
"""

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rediffuse.config import LoadedStudy
from rediffuse.files import write_atomically
from rediffuse.formats import write_json
from rediffuse.registry import load
from rediffuse.reporting.chapters import HEADINGS, PARTS, TIMINGS

if TYPE_CHECKING:
    from rich.console import Group

    from rediffuse.pipeline.plan import Plan
    from rediffuse.reporting.experiments.claims import Verdict
    from rediffuse.reporting.experiments.material import Material
    from rediffuse.reporting.render.blocks import Chapter


def build_report(loaded: LoadedStudy, plan: "Plan", root: Path, out: Path) -> None:
    """Write both parts of the report into `out`, where tables and figures are replaced whole and all else stays.

    `root`: the project's, below which runs/ and data/ lie. UserError: a file is damaged or belongs to another study.
    """
    from rediffuse.reporting.chapters import questions as index
    from rediffuse.reporting.experiments.claims import claims_json
    from rediffuse.reporting.experiments.material import conclude
    from rediffuse.reporting.experiments.measured import measured_on
    from rediffuse.reporting.read.frames import read_frames
    from rediffuse.reporting.read.timings import read_timings
    from rediffuse.reporting.render.blocks import numbered
    from rediffuse.reporting.render.pages import Part, markdown, page
    from rediffuse.reporting.render.picture import styled

    material, clock = conclude(read_frames(loaded, root, plan), plan), read_timings(loaded, plan, root)
    with styled():
        questions = [(key, HEADINGS[key], _chapters(material, key)) for key in PARTS]
        titles = {chapter.title for _, _, chapters in questions for chapter in chapters}
        if (asked := index.chapter(material, titles)) is not None:
            next(chapters for key, _, chapters in questions if key == "documents").insert(0, asked)
        timings = [found for name in TIMINGS if (found := load(name)(material, clock)) is not None]
    told = ("What the machines that made this report took for it is told [apart](timings.md).",)
    report = Part("report", loaded.study.title, told, numbered(questions), "tables", "figures")
    machine_groups = numbered([("", "", timings)], "T")
    taken = measured_on(clock, compiled=loaded.study.hardware.compile)
    machine = Part("timings", "This machine", taken, machine_groups, "timings", "timings", home="report.md")
    _clear(out)
    for path, content in {**report.files(), **machine.files()}.items():
        write_atomically(out / path, content)
    write_json(out / "metrics.json", metrics_json(material))
    write_json(out / "claims.json", claims_json(material.verdicts))
    write_atomically(out / "report.md", markdown(report))
    write_atomically(out / "timings.md", markdown(machine))
    write_atomically(out / "report.html", page([report, machine]))


def _chapters(material: "Material", key: str) -> list["Chapter"]:
    """The chapters of a question: of the experiments that ask it, then those that every study has."""
    from rediffuse.reporting.chapters import experiments

    own = [found for name in PARTS[key] if (found := load(name)(material)) is not None]
    return [*experiments.chapters(material, key), *own]


def _clear(out: Path) -> None:
    """Delete the tables and figures of an earlier report; the kept times of ablations stay."""
    for folder in ("tables", "figures"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for path in (out / "timings").glob("*"):
        if path.suffix != ".json":
            path.unlink()


def metrics_json(material: "Material") -> dict[str, Any]:
    """Run -> setting -> metric -> value, and the loss at the end of training."""
    from rediffuse.reporting.read.frames import final_loss, of_run
    from rediffuse.reporting.terms import diffusion_runs

    result: dict[str, Any] = {}
    for (name, setting, metric), cell in material.cells.items():
        if name in material.loaded.ablations:  # the evidence itself is kept
            continue
        result.setdefault(name, {}).setdefault(setting, {})[metric] = cell.value
    for run in diffusion_runs(material.loaded):
        histories = [of_run(material.frames.history, run, seed) for seed in run.seeds]
        losses = [final_loss(history) for history in histories if len(history)]
        if losses and all(map(math.isfinite, losses)):
            result.setdefault(run.name, {})["training"] = {"final_loss": sum(losses) / len(losses)}
    return result


def terminal_summary(loaded: LoadedStudy, plan: "Plan", root: Path) -> "Group":
    """The comparison of the main runs, the main metric of its experiment if there is one, the claims and where to look
    next, for rich to print.
    """
    from rediffuse.reporting.chapters.experiments import table
    from rediffuse.reporting.experiments.comparison import in_short
    from rediffuse.reporting.experiments.material import conclude
    from rediffuse.reporting.experiments.results import result_of
    from rediffuse.reporting.read.frames import read_frames
    from rediffuse.reporting.render.terminal import summary
    from rediffuse.reporting.terms import MAIN

    material = conclude(read_frames(loaded, root), plan)
    first = [one for one in loaded.experiments.values() if one.asks.chapter == "reproduce"][:1]
    tables = [table(material, result_of(material, one), (MAIN,)) for one in first if MAIN in one.asks.metrics]
    return summary(loaded, in_short(material.frames, material.cells), tables, material.verdicts)


def judged(loaded: LoadedStudy, root: Path) -> "list[Verdict]":
    """The verdict on every claim of a study, from what is on disk."""
    from rediffuse.reporting.experiments.material import conclude
    from rediffuse.reporting.read.frames import read_frames

    return conclude(read_frames(loaded, root)).verdicts
