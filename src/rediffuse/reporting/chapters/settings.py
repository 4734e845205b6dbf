"""Every setting of every run."""

from typing import Any
from rediffuse.config import ResolvedGenerator, ResolvedRun
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.paths import data_folder
from rediffuse.reporting.table import Column, Links, Table, Value
from rediffuse.reporting.tables import FROM
from rediffuse.reporting.terms import IMPORTED, NOT_ASKED, NOT_RECORDED, counted, feature_title, setting_text


def settings(frames: Frames) -> Table:
    """Every setting of every run, those that differ first and marked."""
    all_runs = list(frames.loaded.runs.values())
    flats = [flat_settings(run) for run in all_runs]
    different = differing(frames)
    same = [key for key in dict.fromkeys(key for flat in flats for key in flat) if key not in different]
    rows: list[tuple[Value, ...]] = [
        (key, *(flat.get(key, NOT_ASKED) for flat in flats), "differs" if key in different else "same")
        for key in (*different, *same)
    ]
    files = [str(run.folder(seed) / "run.yaml") for run in all_runs for seed in run.seeds]
    ids = " ".join(frames.pedigree.ids(files))
    return Table(
        "settings",
        f"Settings of the runs; {counted(len(different), 'setting')} of {len(rows)} differ"
        f"{'s' if len(different) == 1 else ''} and stand{'s' if len(different) == 1 else ''} first.",
        (Column("Setting", code=True), *(Column(run.label, code=True) for run in all_runs), Column("Same?")),
        tuple(rows),
        notes=(f"As resolved from the study; the files {ids} hold what was trained.",) if ids else (),
        marked=frozenset(range(len(different))),
        folded=True,
    )

