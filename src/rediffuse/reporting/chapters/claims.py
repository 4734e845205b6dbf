"""The verdict on every claim."""

from rediffuse.reporting.experiments.claims import Verdict, tally
from rediffuse.reporting.experiments.forms import FAILS, HOLDS, UNDECIDED
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.values import NOT_RUN, Anchor, Links, Mark

#: A sign and a tone for each verdict.
MARKS = {HOLDS: ("✓", "holds"), FAILS: ("✗", "fails"), UNDECIDED: ("?", "open"), NOT_RUN: ("–", "open")}


def mark(verdict: str) -> Mark:
    """A verdict as a table shows it."""
    sign, tone = MARKS.get(verdict, ("?", "open"))
    return Mark(sign, verdict, tone)


def short_table(verdicts: list[Verdict]) -> Table:
    """Each claim and its verdict, with a link to its evidence."""
    rows = Rows()
    for place, item in enumerate(verdicts, 1):
        rows.add(item.claim.claim, mark(item.verdict), item.claim.source, Links((f"C{place}",)))
    caption = "What the papers say, and whether it holds here. The last column leads to the values that decide."
    return Table("verdicts", caption, headers("Claim | Verdict here | Source | Evidence"), rows)


def table(frames: Frames, verdicts: list[Verdict]) -> Table:
    """Each claim with what was measured, what follows, and where it stands."""
    rows = Rows()
    for place, item in enumerate(verdicts, 1):
        asked, links = item.experiment or "the study", frames.pedigree.links(item.files)
        told = (mark(item.verdict), item.evidence or NOT_RUN, item.why)
        rows.add(Anchor(f"C{place}"), item.claim.claim, *told, asked, links)
    columns = headers("Id | Claim | Verdict | Evidence | Why | Claimed by | From")
    note = (
        "holds: the whole interval lies where the claim says; does not hold: all of it lies elsewhere; undecided: it "
        "reaches across. Differences are taken group by group from the same noise, or seed by seed, where two values "
        "have these in common; `docs/evaluation.md` has the rule of each form of claim."
    )
    return Table("claims", "Each claim, and what follows from the values.", columns, rows, notes=(note,), narrow=True)


def chapter(material: Material) -> Chapter | None:
    """How many hold, and each."""
    verdicts = material.verdicts
    return chapter_of("claims", "Claims", tally(verdicts), table(material.frames, verdicts)) if verdicts else None
