"""Where every number comes from."""

from rediffuse.reporting.experiments.comparison import altered
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.timings import Timings
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Table, headers
from rediffuse.reporting.values import Anchor, short


def chapter(material: Material) -> Chapter | None:
    """A row for every file."""
    return chapter_of("pedigree", "Pedigree", altered(material.frames), table(material.frames))


def table(frames: Frames) -> Table:
    """For every file: the job that made it, its command, key and code."""
    rows = tuple(
        (Anchor(s.id), s.path, s.job, s.command, short(s.key), short(s.code), s.state)
        for s in frames.pedigree.sources.values()
    )
    columns = headers("Id | `File` | Job | `Command` | `Key` | `Code` | State")
    caption = "Where every number comes from. Key and code are shortened to their first characters."
    notes = (
        f"In MLflow, search the runs of experiment {frames.loaded.study.study} for "
        "`tags.\"rediffuse.key\" LIKE 'KEY%'`, KEY being the one of the row.",
        "State: whether the file is byte for byte the one its receipt describes. When, where and at which commit "
        "each was made stands with the times of this machine.",
    )
    return Table("pedigree", caption, columns, rows, notes=notes)


def timings(material: Material, clock: Timings) -> Chapter | None:
    """A row for every file of times."""
    rows = tuple(
        (Anchor(one.id), one.path, one.job, one.command, short(one.key), short(one.commit), one.date)
        for one in clock.taken.values()
    )
    columns = headers("Id | `File` | Job | `Command` | `Key` | `Commit` | Date")
    note = (
        "`+changes` marks source that differed from the commit. These files differ from run to run and machine to "
        "machine, and no digest covers them; a job without one is not shown."
    )
    what = "Where the times come from, and at which commit, when, each job was done. Key and commit are shortened."
    table = Table("timing-files", what, columns, rows, (note,)) if rows else None
    return chapter_of("timing-files", "Files of times", table)
