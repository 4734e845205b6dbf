"""The report of a study, from files on disk to files on disk."""

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rediffuse.config import LoadedStudy
from rediffuse.files import write_atomically
from rediffuse.formats import write_json
from rediffuse.pipeline.plan import Plan
from rediffuse.runs import facts

if TYPE_CHECKING:
    from rediffuse.reporting.chapters.contents import Section
    from rediffuse.reporting.experiments.cells import Cells
    from rediffuse.reporting.read.frames import Frames
    from rediffuse.reporting.render.table import Table


def build_report(loaded: LoadedStudy, plan: Plan, root: Path, out: Path) -> None:
    """Write a study's report into `out`.

    What is the same whenever the study is rebuilt: report.md, tables/, figures/, metrics.json and claims.json. What is
    this machine's: timings.md and its tables and figures in timings/. And report.html, one page with both.

    Args:
        loaded: the study; plan: its jobs.
        root: the project's root, below which runs/ and data/ lie.
        out: folder to write to; tables/ and figures/ in it are replaced whole.

    Raises:
        UserError: a file is damaged or belongs to another study.
    """
    from rediffuse.reporting.chapters.contents import Material, chapters, timings
    from rediffuse.reporting.experiments.cells import make_cells
    from rediffuse.reporting.experiments.claims import claims_json, judge
    from rediffuse.reporting.read.evidence import times_file
    from rediffuse.reporting.read.frames import read_frames
    from rediffuse.reporting.render.page import html, markdown

    frames = read_frames(loaded, plan, root)
    cells = make_cells(frames.measured())
    material = Material(frames, cells, judge(loaded, cells))
    same, here = chapters(material), timings(material)
    _write_blocks(same, out / "tables", out / "figures")
    kept = times_file(plan.study).name
    _write_blocks(here, out / "timings", out / "timings", kept=kept)
    write_json(out / "metrics.json", metrics_json(frames, cells))
    write_json(out / "claims.json", claims_json(material.verdicts))
    write_atomically(out / "report.md", markdown(loaded, same, "tables", "figures"))
    write_atomically(out / "timings.md", markdown(loaded, here, "timings", "timings", what="times of this machine"))
    write_atomically(out / "report.html", html(loaded, same, here))


def _write_blocks(sections: "list[Section]", tables: Path, figures: Path, kept: str = "") -> None:
    """Write every table and figure of some sections; of earlier ones in these folders only `kept` stays."""
    from rediffuse.reporting.chapters.contents import FigureBlock, TableBlock

    for folder in {tables, figures}:
        if folder.is_dir():
            for path in folder.iterdir():
                if path.name != kept:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
        folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for block in section.blocks:
            if isinstance(block, TableBlock):
                table = block.table
                for suffix, content in (("csv", table.csv()), ("md", _with_caption(table)), ("tex", table.latex())):
                    write_atomically(tables / f"{table.name}.{suffix}", content)
            elif isinstance(block, FigureBlock):
                block.picture.write(figures)


def _with_caption(table: "Table") -> str:
    notes = "".join(f"\n{note}\n" for note in table.notes)
    return f"{table.caption}\n\n{table.markdown()}{notes}"


def metrics_json(frames: "Frames", cells: "Cells") -> dict[str, Any]:
    """Run -> setting -> metric -> value, and the loss at the end of training; nothing that depends on a clock."""
    from rediffuse.reporting.chapters.tables_cost import final_loss, of_run

    result: dict[str, Any] = {}
    for (name, setting, metric), cell in cells.items():
        result.setdefault(name, {}).setdefault(setting, {})[metric] = cell.value
    for resolved in facts.diffusion_runs(frames.loaded).values():
        histories = [of_run(frames.history, resolved, seed) for seed in resolved.seeds]
        losses = [final_loss(history) for history in histories if len(history)]
        if losses and all(map(math.isfinite, losses)):
            result.setdefault(resolved.name, {})["training"] = {"final_loss": sum(losses) / len(losses)}
    return result
