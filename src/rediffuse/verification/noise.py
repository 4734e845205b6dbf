"""How far numbers move when a run is trained again on another processor: replicate noise over seeds, as measured.

Two processors round differently, and a training makes of another last bit another set of weights, no better and no
worse, as those of another seed are. So a number of a training on another processor is one more draw of what the study's
trainings with other seeds have drawn, and is compared with the committed one as two draws are.

The spread over seeds is known of a few runs and settings only, the standard error of a number itself (over groups of
images, or over images) of all. Of each metric the seeds give a factor: how much further a number moves from training to
training than its own standard error says. A number then may move by Student's quantile × √2 × factor × standard error,
at a level that holds for all numbers of a report at once (Bonferroni). The standard error is taken no smaller than is
usual for the metric in proportion to its value, as few groups make it small by chance.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from rediffuse.config import LoadedStudy
from rediffuse.files import read_json
from rediffuse.reporting.terms import RUN_SETTINGS
from rediffuse.runs import facts

#: Chance that a report made by the same code on another processor has any number outside its interval.
LEVEL = 0.01
#: The loss at the end of training has no standard error of its own: its spread counts in proportion to its value.
LOSS = "final_loss"


@dataclass(frozen=True)
class Cell:
    """One number of one training: its value and standard error (None where nothing tells it)."""

    run: str
    setting: str
    metric: str
    seed: int | None
    value: float
    error: float | None


@dataclass(frozen=True)
class Noise:
    """The replicate noise of a study.

    factors: by metric; other: of metrics that no replicate has, the largest. usual: standard error in proportion to the
    value, by metric. loss: relative spread of the loss at the end. freedom: degrees of freedom of all this; quantile:
    of Student's distribution, for all numbers at once. errors: of each number, for one training; seeds: over how many
    trainings of a run the report's numbers are means.
    """

    factors: dict[str, float]
    other: float
    usual: dict[str, float]
    loss: float | None
    freedom: int
    quantile: float
    errors: dict[tuple[str, str, str], float]
    seeds: Mapping[str, int]

    def reach(self, run: str, setting: str, metric: str, value: float) -> float | None:
        """How far a number may move; None where nothing measured says it."""
        if metric == LOSS:
            return None if self.loss is None else self.quantile * 2**0.5 * self.loss * abs(value)
        error = self.errors.get((run, setting, metric))
        return None if error is None else self.of(metric, value, error) / self.seeds.get(run, 1) ** 0.5

    def of(self, metric: str, value: float, error: float) -> float:
        """How far a number of one training with this standard error may move."""
        error = max(error, self.usual.get(metric, 0.0) * abs(value))
        return self.quantile * 2**0.5 * self.factors.get(metric, self.other) * error


def measure(
    cells: Iterable[Cell], losses: Mapping[str, list[float]], seeds: Mapping[str, int], count: int
) -> Noise | None:
    """The noise of a study; None where no run was trained with two seeds.

    Args:
        cells: of all trainings; those of one run, setting and metric are replicates of each other.
        losses: the losses at the end of the trainings of a run, seed by seed.
        seeds: over how many trainings of each run the numbers are means.
        count: numbers to be judged.
    """
    places: dict[tuple[str, str, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        if cell.error is not None:
            places[cell.run, cell.setting, cell.metric].append(cell)
    over_seeds: dict[str, list[tuple[int, float, float]]] = defaultdict(list)
    relative: dict[str, list[float]] = defaultdict(list)
    errors = {}
    for place, found in places.items():
        squared = float(np.mean([cell.error**2 for cell in found if cell.error is not None]))
        errors[place] = squared**0.5
        relative[place[2]] += [cell.error / abs(cell.value) for cell in found if cell.error and cell.value]
        if len(found) > 1 and squared:
            variance = float(np.var([cell.value for cell in found], ddof=1))
            over_seeds[place[2]].append((len(found) - 1, variance, squared))
    if not over_seeds:
        return None
    factors = {}
    for metric, replicates in over_seeds.items():
        # Each replicate's variance in units of its own standard error: large numbers do not drown small ones.
        freedom = sum(n for n, _, _ in replicates)
        factors[metric] = max(1.0, (sum(n * v / s for n, v, s in replicates) / freedom) ** 0.5)
    freedom = max(sum(n for n, _, _ in replicates) for replicates in over_seeds.values())
    several = [values for values in losses.values() if len(values) > 1]
    spread = [np.var(values, ddof=1) / np.mean(values) ** 2 for values in several]
    return Noise(
        factors=factors,
        other=max(factors.values()),
        usual={metric: float(np.median(values)) for metric, values in relative.items() if values},
        loss=float(np.mean(spread) ** 0.5) if spread else None,
        freedom=freedom,
        quantile=float(stdtrit(freedom, 1 - LEVEL / (2 * max(count, 1)))),
        errors=errors,
        seeds=seeds,
    )


def cells_of(record: Mapping[str, Any], run: str, setting: str, seed: int | None) -> list[Cell]:
    """The numbers of a metrics file, or of an ablation's record of one setting."""
    found = []
    for metric, one in (record.get("metrics") or {}).items():
        if isinstance(one, dict) and isinstance(one.get("value"), int | float):
            found.append(Cell(run, setting, metric, seed, float(one["value"]), standard_error(one)))
    return found


def standard_error(one: Mapping[str, Any]) -> float | None:
    """Of an estimate: over its groups, or from its interval over n images; None where it has none."""
    groups, low, high, n = (one.get(name) for name in ("groups", "low", "high", "n"))
    if isinstance(groups, list) and len(groups) > 1:
        return float(np.std(groups, ddof=1) / len(groups) ** 0.5)
    if low is None or high is None or groups or not isinstance(n, int) or n < 2:
        return None
    return float((high - low) / 2 / stdtrit(n - 1, 0.975))


def noise_of(
    loaded: LoadedStudy, project: Path, metrics: dict[str, Any], evidence: list[dict[str, Any]]
) -> Noise | None:
    """The replicate noise of a study: its trainings in a project, and those of other seeds in the report's evidence.

    What is judged must not widen its own interval: of a run of one seed the value is that of `metrics`, the report's.
    """
    cells, losses = list[Cell](), defaultdict[str, list[float]](list)
    for run in loaded.runs.values():
        own = metrics.get(run.name, {}) if len(run.seeds) == 1 else {}
        for seed in run.seeds:
            for stage in ("metrics", "likelihood"):
                for path in sorted((project / facts.folder(run, seed) / stage).glob("*.json")):
                    record = read_json(path)
                    setting = record.get("setting") or RUN_SETTINGS[min(record["metrics"])]
                    for cell in cells_of(record, run.name, setting, seed):
                        cells.append(replace(cell, value=own.get(setting, {}).get(cell.metric, cell.value)))
        if (loss := own.get("training", {}).get(LOSS)) is not None:
            losses[run.name].append(loss)
    for path in sorted((project / "runs" / loaded.study.study / "real").glob("*.json")):
        cells += cells_of(read_json(path), "real", path.stem, None)
    for record in evidence:
        if not record.get("overrides"):  # it changes nothing but the seed
            losses[record["of"]].append(record[LOSS])
            for setting, scores in record["metrics"].items():
                cells += cells_of(scores, record["of"], setting, record["seed"])
    seeds = {run.name: len(run.seeds) for run in loaded.runs.values()}
    return measure(cells, losses, seeds, sum(len(one) for settings in metrics.values() for one in settings.values()))
