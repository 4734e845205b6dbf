"""What every stage starts from: the study, its plan and the folder both refer to."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rediffuse.config import LoadedStudy, ResolvedGenerator, ResolvedRun, load_study
from rediffuse.files import write_json
from rediffuse.pipeline.plan import Job, Plan, make_plan
from rediffuse.pipeline.receipts import require, write_receipt


@dataclass(frozen=True)
class Context:
    """A study opened for work; all its paths are relative to `root`."""

    root: Path
    loaded: LoadedStudy
    plan: Plan

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

    def folder(self, run: ResolvedRun | ResolvedGenerator, seed: int) -> Path:
        """Folder of what a run makes."""
        return self.root / run.folder(seed)

    def state(self, run: ResolvedRun | ResolvedGenerator, seed: int) -> Path:
        """Folder of a run's unfinished work."""
        return self.root / "state" / run.study / run.name / f"seed{seed}"


@contextmanager
def working(context: Context, job: Job) -> Iterator[None]:
    """Check what `job` is made from, let it work, and leave a receipt when it has made all its files."""
    require(job, context.root)
    yield
    missing = [str(path) for path in job.outputs if not (context.root / path).exists()]
    if missing:
        raise RuntimeError(f"{job.name} did not make {', '.join(missing)}")
    write_receipt(job, context.root)


def keep_only(folder: Path, names: set[str]) -> None:
    """Delete what earlier settings left in a folder that DVC tracks as a whole, and so wants to be there."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.name not in names:
            path.unlink()


def set_threads(run: ResolvedRun | ResolvedGenerator) -> None:
    """Fix everything outside the seed that changes the last bits of a result."""
    import torch

    torch.set_num_threads(run.hardware.threads)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def machine(device: str, threads: int) -> dict[str, Any]:
    """What a timing was taken on."""
    import os
    import platform

    import torch

    processor = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "cpu": processor,
        "cores": os.cpu_count(),
        "threads": threads,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Elapsed wall-clock seconds."""
        return time.perf_counter() - self.start


def write_timing(path: Path, job: Job, run: ResolvedRun | ResolvedGenerator, **measured: Any) -> None:
    """Write a timing file: never digested, never an input of anything but the report."""
    write_json(path, {"key": job.key, "machine": machine(run.hardware.device, run.hardware.threads), **measured})
