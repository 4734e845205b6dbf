"""Where every number comes from."""

from rediffuse.config import ResolvedRun
from rediffuse.reporting.cells import Cell, Cells, compare, optional
from rediffuse.reporting.claims import Verdict
from rediffuse.reporting.frames import Frames
from rediffuse.reporting.pedigree import SHORT
from rediffuse.reporting.table import Anchor, Column, Estimate, Links, Table, Value
from rediffuse.reporting.terms import (
    NOT_ASKED,
    NOT_RECORDED,
    NOT_RUN,
    REAL_LINES,
    cell_label,
    compared_runs,
    direction,
    metric_short,
    metric_title,
    run_label,
    run_of_role,
    settings_in_order,
)
from collections import Counter
from rediffuse.config.facts import RUN_SETTINGS
from rediffuse.reporting.cells import Cell, Cells, Comparison, bounds, compare, optional
from rediffuse.reporting.terms import (
    NOT_RECORDED,
    NOT_RUN,
    cell_label,
    counted,
    direction,
    listed,
    metric_title,
    number,
    run_of_role,
    settings_in_order,
)


def pedigree(frames: Frames) -> Table:
    """For every file: the job that made it, its command, key, commit and code."""
    rows = tuple(
        (Anchor(s.id), s.path, s.job, s.command, short(s.key), short(s.commit), short(s.code), s.state)
        for s in frames.pedigree.sources.values()
    )
    columns = (Column("Id"), Column("File", code=True), Column("Job"), Column("Command", code=True),
               Column("Key", code=True), Column("Commit", code=True), Column("Code", code=True), Column("State"))
    return Table(
        "pedigree",
        "Where every number comes from. Key, commit and code are shortened to their first characters.",
        columns,
        rows,
        notes=(
            f"In MLflow, search the runs of experiment {frames.loaded.study.study} for "
            "`tags.\"rediffuse.key\" LIKE 'KEY%'`, KEY being the one of the row.",
            "State: whether the file is byte for byte the one its receipt describes. Timings differ from run to run "
            "and "
            "machine to machine, and have no digest.",
        ),
    )


def short(digest: str) -> str:
    """The first characters of a digest or commit; the mark of uncommitted changes is kept."""
    head, plus, changes = digest.partition("+")
    return digest if digest == NOT_RECORDED else head[:SHORT] + plus + changes


def provenance(frames: Frames) -> list[str]:
    """Which commits made the files, and whether any file is not the one its receipt describes."""
    sources = [source for source in frames.pedigree.sources.values() if not source.id.startswith("A")]
    commits = list(dict.fromkeys(source.commit for source in sources if source.commit != NOT_RECORDED))
    sentences = []
    if not commits:
        sentences.append(f"Commit of the code that made the files: {NOT_RECORDED}.")
    elif len(commits) == 1:
        sentences.append(f"All files with a receipt were made at commit `{commits[0]}`.")
    else:
        shown = listed([f"`{commit[:12]}{'+changes' if '+' in commit else ''}`" for commit in commits])
        sentences.append(f"The files were made at {len(commits)} commits: {shown}; the pedigree says which at which.")
    if any("+" in commit for commit in commits):
        sentences.append(
            "`+changes` marks source or settings that differed from the commit; the pedigree's code digest tells them "
            "apart."
        )
    altered = [source.path for source in sources if source.state == "altered since"]
    if altered:
        sentences.append(
            f"Warning: {listed(altered)} {'is' if len(altered) == 1 else 'are'} not what the receipt says was made."
        )
    return sentences

