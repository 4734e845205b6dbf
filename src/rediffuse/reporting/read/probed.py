"""What trained networks tell by themselves: of the main runs from disk, of the runs of experiments as it is kept."""

from typing import Any

from rediffuse.reporting.read.frames import Frames
from rediffuse.reporting.read.pedigree import ablation_place
from rediffuse.reporting.read.records import Found, records
from rediffuse.reporting.read.trained import entries

KEYS = ("prediction", "metrics", "by_t", "gradients", "images")


def probed(frames: Frames) -> list[Found]:
    """Every network that was asked, main runs first."""
    kept = [
        Found(frames.loaded.run(entry["ablation"]), entry["seed"], entry["network"], place)
        for entry in entries(frames)
        if entry.get("network") and (place := ablation_place(frames.ablations_file, entry))
    ]
    return [*records(frames, "probe/probe.json", *KEYS), *kept]


def values(record: dict[str, Any], name: str, split: str = "held-out") -> list[float]:
    """An error by t of one network: its own of `eps` or `x0`, or that of another prediction."""
    return [row[split][name] for row in record["by_t"]]
