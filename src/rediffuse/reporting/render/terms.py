"""Names, number formats and colours: the same in every table, figure and sentence."""

import math

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.evaluation.feature_networks import FEATURE_NETWORKS
from rediffuse.evaluation.metrics import CLASS_METRICS, METRICS, RUN_METRICS, find_metric
from rediffuse.runs import facts

NOT_RUN = "not run"
IMPORTED = "imported"
NOT_RECORDED = "not recorded"
NOT_ASKED = "—"
#: What stands in place of a sampler for metrics of a run itself.
RUN_SETTINGS = {metric.setting for metric in RUN_METRICS.values()}
# What results are read against, by the name of its file.
REAL_LINES = {"held-out": "held-out real images", "noise": "uniform noise"}

# Okabe and Ito's palette, which readers with any kind of colour vision can tell apart.
BASELINE, IMPROVED = "#0072B2", "#D55E00"
VARIANTS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
REAL, NOISE, OTHER = "#222222", "#777777", "#8C8C8C"


def feature_title(features: str) -> str:
    """Name of a feature network in prose."""
    return FEATURE_NETWORKS[features].title if features in FEATURE_NETWORKS else features


def headline_metrics() -> list[str]:
    """The metrics that runs are compared by."""
    return [name for name, metric in METRICS.items() if metric.headline]


def metric_title(metric: str, features: str) -> str:
    """Full name of a metric. FID and Inception score are names of Inception-v3 metrics and of no other."""
    return find_metric(metric).title_in(features) if is_metric(metric) else metric.replace("_", " ")


def metric_short(metric: str, features: str) -> str:
    """Name of a metric in a table header or on an axis."""
    return find_metric(metric).short_in(features) if is_metric(metric) else metric.replace("_", " ")


def is_metric(name: str) -> bool:
    """Whether it is one of the registry, and no number that only examinations hold."""
    return name in METRICS or name in CLASS_METRICS or name in RUN_METRICS


def direction(metric: str) -> str:
    """Which way a metric is better: "lower" or "higher"."""
    return find_metric(metric).better


def decimals(magnitude: float, digits: int = 4) -> int:
    """Decimal places that give a number of this magnitude `digits` significant digits."""
    if magnitude == 0 or not math.isfinite(magnitude):
        return 0
    return min(12, max(0, digits - 1 - math.floor(math.log10(abs(magnitude)))))


def number(value: float, digits: int = 4) -> str:
    """A measured value with `digits` significant digits, whole counts in full."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "not finite"
    if value != 0 and abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{decimals(value, digits)}f}"


def setting_text(value: object) -> str:
    """A setting as one would write it in the study."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(setting_text(item) for item in value) or "none"
    return str(value)


def whole(count: int) -> str:
    """A count, with separators of thousands from five digits on."""
    return f"{count:,}" if abs(count) >= 10_000 else str(count)


def counted(count: int, one: str, many: str | None = None) -> str:
    """ "1 image", "2 images"."""
    return f"{whole(count)} {one if count == 1 else many or one + 's'}"


def listed(parts: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def run_of_role(loaded: LoadedStudy, role: str) -> ResolvedRun | None:
    """The run of a role ("baseline" or "improved"), None when the study has none."""
    return next((run for run in facts.diffusion_runs(loaded).values() if run.role == role), None)


def run_colours(loaded: LoadedStudy) -> dict[str, str]:
    """A colour for each run; baseline and improved keep theirs whatever else a study has."""
    fixed = {"baseline": BASELINE, "improved": IMPROVED}
    variants = iter(VARIANTS * len(facts.diffusion_runs(loaded)))
    return {name: fixed.get(run.role) or next(variants) for name, run in facts.diffusion_runs(loaded).items()}


def model_colours(loaded: LoadedStudy) -> dict[str, str]:
    """`run_colours`, and a colour for each one-pass model from the other end of the palette than further runs'."""
    palette = VARIANTS[::-1]
    return run_colours(loaded) | {name: palette[i % len(palette)] for i, name in enumerate(facts.one_pass_runs(loaded))}


def run_label(loaded: LoadedStudy, name: str) -> str:
    """How a run is called in the report."""
    return loaded.runs[name].label if name in loaded.runs else name


def model_seed(model: ResolvedRun, seed: int) -> str:
    """How a run or one-pass model is called in a sentence, with the seed where it has several."""
    return model.label + (f" (seed {seed})" if len(model.seeds) > 1 else "")


def cell_label(loaded: LoadedStudy, run: str, setting: str) -> str:
    """How a run and setting, or a line of real images or noise, is called in a sentence."""
    if run == "real":
        return REAL_LINES.get(setting, setting)
    if setting in RUN_SETTINGS or run in facts.one_pass_runs(loaded):
        return run_label(loaded, run)
    return f"{run_label(loaded, run)} with {setting}"


def compared_runs(loaded: LoadedStudy) -> list[ResolvedRun]:
    """The main runs that stand beside one another: a class-conditional run is told what the others are not."""
    runs = list(facts.diffusion_runs(loaded).values())
    return [run for run in runs if not facts.is_conditional(run)] or runs


def sampler_keys(loaded: LoadedStudy) -> list[str]:
    """The samplers of the compared runs, in the order in which the study names them."""
    return list(dict.fromkeys(key for run in compared_runs(loaded) for _, key, _ in facts.comparable_settings(run)))


def settings_in_order(loaded: LoadedStudy) -> list[tuple[str, str, int]]:
    """(setting, sampler key, steps) of all compared runs: samplers as the study names them, most steps first."""
    order = {key: position for position, key in enumerate(sampler_keys(loaded))}
    every = {setting for run in compared_runs(loaded) for setting in facts.comparable_settings(run)}
    return sorted(every, key=lambda setting: (order[setting[1]], -setting[2]))
