"""The report of a study, from files on disk to files on disk."""

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rediffuse.config import LoadedStudy
from rediffuse.files import write_atomically, write_json

if TYPE_CHECKING:
    from rediffuse.reporting.chapters.ablations import CurrentKeys
    from rediffuse.reporting.experiments.cells import Cells
    from rediffuse.reporting.read.frames import Frames


def build_report(
    loaded: LoadedStudy,
    root: Path,
    out: Path,
    *,
    current_keys: "CurrentKeys | None" = None,
    evidence: Path | None = None,
) -> None:
    """Write report.html, report.md, tables/, figures/, metrics.json and claims.json into `out`.

    Args:
        loaded: the study.
        root: the project's root, below which runs/ and data/ lie.
        out: folder to write to; tables/ and figures/ in it are replaced whole.
        current_keys: key of each job by (run, seed, stage) as today's settings and code have it; ablations made under
            another training key are flagged.
        evidence: folder of timings.json and ablations.json; reports/<study>/evidence below `root` when absent.

    Raises:
        UserError: a file is damaged or belongs to another study.
    """
    from rediffuse.reporting.chapters.contents import FigureBlock, TableBlock, make_sections
    from rediffuse.reporting.experiments.cells import make_cells
    from rediffuse.reporting.experiments.claims import claims_json, judge
    from rediffuse.reporting.read.frames import read_frames
    from rediffuse.reporting.render.page import render

    frames = read_frames(loaded, root, evidence)
    cells = make_cells(frames.measured())
    verdicts = judge(loaded, cells)
    sections = make_sections(frames, cells, verdicts, current_keys)
    page, markdown = render(loaded, sections)
    for folder in ("tables", "figures"):
        shutil.rmtree(out / folder, ignore_errors=True)
    for section in sections:
        for block in section.blocks:
            if isinstance(block, TableBlock):
                table = block.table
                for suffix, content in (("csv", table.csv()), ("md", _with_caption(table)), ("tex", table.latex())):
                    write_atomically(out / "tables" / f"{table.name}.{suffix}", content)
            elif isinstance(block, FigureBlock):
                block.picture.write(out / "figures")
    write_json(out / "metrics.json", metrics_json(frames, cells))
    write_json(out / "claims.json", claims_json(verdicts))
    write_atomically(out / "report.md", markdown)
    write_atomically(out / "report.html", page)


def _with_caption(table: Any) -> str:
    notes = "".join(f"\n{note}\n" for note in table.notes)
    return f"{table.caption}\n\n{table.markdown()}{notes}"


def metrics_json(frames: "Frames", cells: "Cells") -> dict[str, Any]:
    """Run -> setting -> metric -> value, and the loss at the end of training; nothing that depends on a clock."""
    from rediffuse.reporting.chapters.tables_cost import final_loss, of_run

    result: dict[str, Any] = {}
    for (name, setting, metric), cell in cells.items():
        result.setdefault(name, {}).setdefault(setting, {})[metric] = cell.value
    for resolved in frames.loaded.runs.values():
        histories = [of_run(frames.history, resolved, seed) for seed in resolved.seeds]
        losses = [final_loss(history) for history in histories if len(history)]
        if losses and all(map(math.isfinite, losses)):
            result.setdefault(resolved.name, {})["training"] = {"final_loss": sum(losses) / len(losses)}
    return result
