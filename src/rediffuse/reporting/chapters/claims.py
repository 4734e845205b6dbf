"""The verdict on every claim."""

from rediffuse.reporting.experiments.claims import Verdict, tally
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.values import NOT_RUN


def table(frames: Frames, verdicts: list[Verdict]) -> Table:
    """Each claim with what was measured, what follows, and where it stands."""
    rows = Rows()
    for item in verdicts:
        asked = item.experiment or "the study"
        links = frames.pedigree.links(item.files)
        rows.add(item.claim.claim, item.verdict, item.evidence or NOT_RUN, item.why, item.claim.source, asked, links)
    columns = headers("Claim | Verdict | Evidence | Why | Source | Claimed by | From")
    note = (
        "holds: the whole interval lies where the claim says; does not hold: all of it lies elsewhere; undecided: it "
        "reaches across. Differences are taken group by group from the same noise, or seed by seed, where two values have "
        "these in common; `docs/evaluation.md` has the rule of each form of claim."
    )
    return Table("claims", "Each claim, and what follows from the values.", columns, rows, notes=(note,), narrow=True)


def chapter(material: Material) -> Chapter | None:
    """How many hold, and each."""
    verdicts = material.verdicts
    return chapter_of("claims", "Claims", tally(verdicts), table(material.frames, verdicts)) if verdicts else None
