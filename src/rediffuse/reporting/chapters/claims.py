"""The verdict on every claim."""

from rediffuse.evaluation.metrics import metric_short
from rediffuse.reporting.experiments.cells import estimate
from rediffuse.reporting.experiments.claims import Verdict, tally
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import cell_label


def table(frames: Frames, verdicts: list[Verdict]) -> Table:
    """Each claim with its source, what was measured and what follows."""
    rows = Rows()
    for item in verdicts:
        files = [path for cell in (item.better, item.worse) if cell is not None for path in cell.files]
        metric = metric_short(item.claim.metric, frames.features)
        names = [cell_label(frames.loaded, *name.split("/", 1)) for name in (item.claim.better, item.claim.worse)]
        links = frames.pedigree.links(files)
        first, second = (names[0], estimate(item.better)), (names[1], estimate(item.worse))
        rows.add(item.claim.claim, item.claim.source, metric, *first, *second, item.verdict, item.reason, links)
    caption = "Each claim: a metric of the cell said to be better against the same metric of the cell said to be worse."
    columns = headers(
        "Claim | Source | Metric | Said to be better | Its value | Said to be worse | Value of that | "
        "Verdict | Why | From"
    )
    note = (
        "holds: the intervals are apart in the claimed direction; does not hold: they are apart in the other; "
        "undecided: they overlap."
    )
    return Table("claims", caption, columns, rows, notes=(note,), narrow=True)


def chapter(material: Material) -> Chapter | None:
    """How many hold, and each."""
    verdicts = material.verdicts
    return chapter_of("claims", "Claims", tally(verdicts), table(material.frames, verdicts)) if verdicts else None
