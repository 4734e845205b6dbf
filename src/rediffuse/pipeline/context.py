"""What every job starts from: the study, its plan and the folder both refer to."""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rediffuse.config import LoadedStudy, ResolvedRun, load_study
from rediffuse.files import digest
from rediffuse.machine import environment
from rediffuse.pipeline.code import code_digest, strings
from rediffuse.pipeline.plan import Job, Plan, make_plan
from rediffuse.runs import facts


@dataclass(frozen=True)
class Context:
    """A study opened for work; all its paths are relative to `root`.

    watch: what looks on while a job works: the rows of its history and its snapshots (`rediffuse.tracking.live`).
    at_once: how many jobs share the machine at most, this one included, as far as this project knows.
    """

    root: Path
    loaded: LoadedStudy
    plan: Plan
    watch: Any = None
    at_once: int = 1

    @classmethod
    def open(cls, study: str | Path = "params.yaml", root: str | Path = ".") -> "Context":
        """Load and validate a study. Raises UserError with one line when it is wrong."""
        root = Path(root)
        loaded = load_study(study)
        return cls(root, loaded, make_plan(loaded, root))

    @property
    def data_folder(self) -> Path:
        """Folder of the study's data set."""
        return self.root / "data" / self.loaded.study.data.name

    @functools.cached_property
    def made_by(self) -> str:
        """Digest of the code and versions that work out what is kept of the real images."""
        code = code_digest("rediffuse.runs.real_images:RealImages", strings(self.loaded.study.model_dump(mode="json")))
        return digest([code, environment()])

    def folder(self, run: ResolvedRun, seed: int) -> Path:
        """Folder of what a run makes."""
        return self.root / facts.folder(run, seed)

    def state(self, job: Job) -> Path:
        """Folder of a job's unfinished work."""
        where = "_study" if job.of_run is None else f"{job.run.name}/seed{job.seed}"
        return self.root / "state" / self.plan.study / where / job.stage
