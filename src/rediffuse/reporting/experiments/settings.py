"""Settings of runs as flat tables: what each says, and in what they differ."""

from typing import Any

from rediffuse.config import ResolvedRun
from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.terms import diffusion_runs
from rediffuse.reporting.values import setting_text

SECTIONS = ("data", "hardware", "network", "diffusion", "training", "sampling", "evaluation")


def flat_settings(run: ResolvedRun) -> dict[str, str]:
    """Every setting of a run, by dotted key, but those of its samplers, which have a table of their own."""
    values = run.model_dump(mode="json")
    flat: dict[str, str] = {}
    for section in SECTIONS:
        if section != "training" or run.weights is None:
            _flatten(section, values[section], flat)
    if run.weights is not None:
        _flatten("weights", values["weights"], flat)
    return {key: text for key, text in flat.items() if not key.startswith("sampling.samplers.")}


def _flatten(key: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, dict):
        for name, part in value.items():
            _flatten(f"{key}.{name}", part, into)
    else:
        into[key] = setting_text(value)


def differing(frames: Frames) -> list[str]:
    """Keys of the settings in which the runs differ."""
    flats = [flat_settings(run) for run in diffusion_runs(frames.loaded)]
    keys = dict.fromkeys(key for flat in flats for key in flat)
    return [key for key in keys if len({flat.get(key) for flat in flats}) > 1]
