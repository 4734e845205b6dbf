"""Metrics of the pixels of samples, computed where an experiment or a claim asks for them."""

from pathlib import Path
from typing import Any

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.evaluation.intervals import grouped
from rediffuse.evaluation.metrics import PIXEL_METRICS
from rediffuse.runs import facts
from rediffuse.runs.samples import read_samples

Asked = set[tuple[str, str, str]]


def asked_pixels(loaded: LoadedStudy) -> Asked:
    """(run, setting, metric) of every cell of a metric of pixels that an experiment shows or a claim names."""
    found = {
        (member.run, member.setting, metric)
        for planned in loaded.experiments.values()
        for metric in planned.asks.metrics
        for member in planned.members
    }
    claimed = {(*cell.split("/", 1), claim.metric) for claim in loaded.claims().values() for cell in claim.named()}
    return {cell for cell in {*found, *claimed} if cell[2] in PIXEL_METRICS}  # type: ignore[misc]


def pixel_rows(
    root: Path, run: ResolvedRun, seed: int, scored: list[dict[str, Any]], asked: Asked
) -> list[dict[str, Any]]:
    """Rows as those of a setting that was scored (`scored`), of its metrics of pixels: of the same groups of images.

    None where the samples are not there. Raises UserError where they are damaged.
    """
    rows = []
    for metric in PIXEL_METRICS.values() if scored else ():
        path = facts.folder(run, seed) / "samples" / f"{scored[0]['setting']}.npz"
        if (run.name, scored[0]["setting"], metric.name) in asked and (root / path).exists():
            images, n = read_samples(root / path).images, scored[0]["n"]
            parts = [images[start : start + n] for start in range(0, n * scored[0]["groups"], n)]
            found = grouped([metric.compute(part) for part in parts], n).to_dict()
            values = found.pop("groups")
            counts = {"groups": len(values), "group_values": values}
            rows.append({**scored[0], **found, **counts, "metric": metric.name, "file": str(path)})
    return rows
