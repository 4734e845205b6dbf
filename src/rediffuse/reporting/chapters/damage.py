"""What each metric makes of known damage to real images: one that does not order it decides nothing."""

from itertools import pairwise
from typing import Any

from rediffuse.evaluation.metrics import METRICS, metric_short
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.files import read_json
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers, metric_titles
from rediffuse.reporting.terms import capital, direction
from rediffuse.reporting.values import NOT_RECORDED, Estimate, Value, counted, listed

FILE = "damage/damage.json"


def ordered(metric: str, values: list[float]) -> bool:
    """Whether a metric gets worse with every degree, the undamaged images first; one that has come to 0, the least it
    can be, stays there.
    """
    sign = 1 if direction(metric) == "lower" else -1
    falls = sign < 0 < values[0]
    return all(sign * (after - before) > 0 or (falls and before == after == 0) for before, after in pairwise(values))


def verdicts(rows: list[dict[str, Any]]) -> dict[str, dict[str, bool]]:
    """metric → kind of damage → whether it orders its degrees; metrics that cannot be computed are left out."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows[1:]))
    found: dict[str, dict[str, bool]] = {}
    for metric in METRICS:
        values = [(row["kind"], row["metrics"].get(metric, {}).get("value")) for row in rows]
        if all(value is not None for _, value in values):
            found[metric] = {
                kind: ordered(metric, [value for of, value in values if of in (rows[0]["kind"], kind)])
                for kind in kinds
            }
    return found


def table(material: Material, rows: list[dict[str, Any]], links: Value) -> Table:
    """Every degree with every metric."""
    frames, shown = material.frames, Rows()
    for row in rows:
        known = {name: row["metrics"].get(name, {}) for name in METRICS}
        values = [Estimate.of(one) if one.get("value") is not None else NOT_RECORDED for one in known.values()]
        n = next((one["n"] for one in known.values() if one.get("n")), NOT_RECORDED)
        shown.add(capital(row["kind"]), row["degree"], *values, n, links)
    columns = headers("Damage | Degree", metric_titles(METRICS, frames.features), "n | From")
    caption = "Held-out real images, damaged in known ways, by every metric."
    return Table("damage", caption, columns, shown, marked=frozenset([0]), folded=True, narrow=True)


def summary(material: Material, found: dict[str, dict[str, bool]]) -> Table:
    """Which metric orders which damage."""
    shown = Rows()
    for metric, by_kind in found.items():
        told = ("✓ yes" if yes else "✗ no" for yes in by_kind.values())
        shown.add(metric_short(metric, material.frames.features), *told, f"{sum(by_kind.values())} of {len(by_kind)}")
    kinds = [capital(kind) for kind in next(iter(found.values()))]
    caption = "Whether a metric calls images worse with every degree of a known damage, or has none worse to give."
    return Table("damage-ordered", caption, headers("Metric", kinds, "Ordered"), shown)


def chapter(material: Material) -> Chapter | None:
    """Which metrics can tell."""
    frames = material.frames
    path = f"runs/{material.loaded.study.study}/{FILE}"
    record = read_json(frames.root / path)
    if record is None:
        return None
    rows = record["rows"]
    found = verdicts(rows)
    if not found or len(rows) < 2:
        return None
    counts = {metric: sum(by_kind.values()) for metric, by_kind in found.items()}
    kinds, most = len(next(iter(found.values()))), max(counts.values())
    names = {metric: metric_short(metric, frames.features) for metric in found}
    best = [names[metric] for metric, count in counts.items() if count == most]
    worst = [names[metric] for metric, count in counts.items() if count <= kinds / 2]
    all_ = "all " if most == kinds > 1 else ""
    text = f"Of {counted(kinds, 'kind')} of damage {listed(best)} order{'s' if len(best) == 1 else ''} {all_}{most}."
    if worst:
        text += (
            f" {listed(worst)} order{'s' if len(worst) == 1 else ''} half of them or fewer: little can be said by that."
        )
    return chapter_of(
        "damage",
        "What the metrics can tell",
        text,
        summary(material, found),
        table(material, rows, frames.pedigree.links([path])),
    )
