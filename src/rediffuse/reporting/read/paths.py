"""Where a study's files lie, relative to the project's root."""

from pathlib import Path

from rediffuse.config import LoadedStudy


def real_folder(study: str) -> Path:
    """Folder of the scores of held-out real images and of noise."""
    return Path("runs", study, "real")


def cost_folder(study: str) -> Path:
    """Folder of what the networks cost."""
    return Path("runs", study, "cost")


def data_folder(loaded: LoadedStudy) -> Path:
    """Folder of the study's data set."""
    return Path("data", loaded.study.data.name)


def evidence_folder(study: str) -> Path:
    """Folder of what is committed although it was measured: timings and finished ablations."""
    return Path("reports", study, "evidence")
