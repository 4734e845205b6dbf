"""Every setting of every run."""

from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.experiments.variants import differing, flat_settings
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Table, headers
from rediffuse.reporting.terms import diffusion_runs
from rediffuse.reporting.values import NOT_ASKED, Value, counted
from rediffuse.runs import facts


def table(frames: Frames) -> Table:
    """Every setting of every run, those that differ first and marked."""
    all_runs = diffusion_runs(frames.loaded)
    flats = [flat_settings(run) for run in all_runs]
    different = differing(frames)
    same = [key for key in dict.fromkeys(key for flat in flats for key in flat) if key not in different]
    rows: list[tuple[Value, ...]] = [
        (key, *(flat.get(key, NOT_ASKED) for flat in flats), "differs" if key in different else "same")
        for key in (*different, *same)
    ]
    files = [str(facts.folder(run, seed) / "run.yaml") for run in all_runs for seed in run.seeds]
    ids = " ".join(frames.pedigree.links(files).ids)
    caption = (
        f"Settings of the runs; {counted(len(different), 'setting')} of {len(rows)} differ"
        f"{'s' if len(different) == 1 else ''} and stand{'s' if len(different) == 1 else ''} first."
    )
    columns = headers("`Setting`", [f"`{run.label}`" for run in all_runs], "Same?")
    notes = (f"As resolved from the study; the files {ids} hold what was trained.",) if ids else ()
    return Table("settings", caption, columns, rows, notes=notes, marked=frozenset(range(len(different))), folded=True)


def chapter(material: Material) -> Chapter | None:
    """The whole of them."""
    return chapter_of("settings", "Settings", table(material.frames))
