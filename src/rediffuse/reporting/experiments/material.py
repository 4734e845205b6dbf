"""All that the chapters are written from: what was read, and what is concluded from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from rediffuse.config import LoadedStudy
from rediffuse.pipeline.plan import Plan
from rediffuse.reporting.experiments.cells import Cells, all_cells
from rediffuse.reporting.experiments.claims import Verdict, judge
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.trained import losses


@dataclass(frozen=True, eq=False)
class Material:
    """What the deterministic part says, and nothing but that: no time is within its reach.

    keys: key of each training as today's settings and code have it, by run and seed.
    """

    frames: Frames
    cells: Cells
    verdicts: list[Verdict]
    keys: Mapping[tuple[str, int], str]

    @property
    def loaded(self) -> LoadedStudy:
        """The study."""
        return self.frames.loaded


def conclude(frames: Frames, plan: Plan | None = None) -> Material:
    """Cells, and verdicts on the claims of the study and of its experiments."""
    cells = all_cells(frames)
    jobs = plan.jobs.values() if plan is not None else ()
    keys = {
        (job.of_run.name, job.of_seed): job.key
        for job in jobs
        if job.stage == "train" and job.of_run is not None and job.of_seed is not None
    }
    return Material(frames, cells, judge(frames.loaded, cells, losses(frames)), keys)
