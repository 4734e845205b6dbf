"""Names and colours of metrics, runs and settings: the same in every table, figure and sentence."""

from collections.abc import Iterable, Iterator
from typing import Any

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.config.experiment import Experiment
from rediffuse.config.sampling import Pace, Sampler, Setting
from rediffuse.evaluation.feature_networks import FEATURE_NETWORKS
from rediffuse.evaluation.metrics import METRICS, RESTORED, RUN_METRICS, find_metric, metric_title
from rediffuse.reporting.values import NOT_ASKED, listed, setting_text
from rediffuse.runs import facts
from rediffuse.samplers.registry import SAMPLERS
from rediffuse.training.options import TrainingConfig

#: What the column of that name counts.
EVALUATIONS = (
    "Network evaluations are counted while sampling: calls of the network for an image, of which both halves of "
    "classifier-free guidance are one. Quadratic spacing may name a time step twice, which is taken once."
)
#: The metric that sentences, ablations and small figures show.
MAIN = "frechet_distance"
#: What stands for a sampler in the cell of a metric of a run itself, by metric.
RUN_SETTINGS = {metric.name: metric.setting or "" for metric in RUN_METRICS.values()}
# What results are read against, by the name of its file.
REAL_LINES = {"held-out": "held-out real images", "noise": "uniform noise"}
REAL_LABEL = REAL_LINES["held-out"]
# Okabe and Ito's palette, which readers with any kind of colour vision can tell apart.
BASELINE, IMPROVED = "#0072B2", "#D55E00"
VARIANTS = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9")
REAL, NOISE, OTHER = "#222222", "#777777", "#8C8C8C"


def headline_metrics(loaded: LoadedStudy) -> list[str]:
    """The metrics that runs are compared by."""
    flagged = [metric.name for metric in METRICS.values() if metric.headline]
    return list(loaded.study.evaluation.headline or flagged)


def feature_title(features: str) -> str:
    """Name of a feature network in prose."""
    return FEATURE_NETWORKS[features].title if features in FEATURE_NETWORKS else features


def metrics_title(metrics: Iterable[str], features: str) -> str:
    """Metrics in a sentence, what they are measured with said once."""
    titles = [metric_title(metric, features).partition(" in ") for metric in metrics]
    inside = {where: [name for name, _, other in titles if other == where] for _, _, where in titles if where}
    return listed(
        [f"{listed(found)} in {where}" for where, found in inside.items()] + [t for t, _, w in titles if not w]
    )


def direction(metric: str) -> str:
    """Which way a metric is better: "lower" or "higher"."""
    return find_metric(metric).better


def aim(metric: str) -> str:
    """Which way a metric is better, as it follows its name."""
    return "best as real images have it" if metric in AS_REAL else f"{direction(metric)} is better"


def capital(text: str) -> str:
    """`text` as a sentence or heading begins with it; a Greek letter is a symbol, and stays."""
    return text[:1].upper() + text[1:] if text[:1].isascii() else text


def every_run(loaded: LoadedStudy) -> list[ResolvedRun]:
    """The main runs: those that denoise step by step, then those that make an image in one pass."""
    return [*diffusion_runs(loaded), *one_pass_runs(loaded)]


def diffusion_runs(loaded: LoadedStudy) -> list[ResolvedRun]:
    """The main runs that denoise step by step."""
    return list(facts.diffusion_runs(loaded).values())


def one_pass_runs(loaded: LoadedStudy) -> list[ResolvedRun]:
    """The main runs that make an image in one pass."""
    return list(facts.one_pass_runs(loaded).values())


def seeds_of(runs: Iterable[ResolvedRun]) -> Iterator[tuple[ResolvedRun, int]]:
    """Each run with each of its training seeds."""
    return ((run, seed) for run in runs for seed in run.seeds)


def run_of_role(loaded: LoadedStudy, role: str) -> ResolvedRun | None:
    """The run of a role ("baseline" or "improved"), None when the study has none."""
    return next((run for run in diffusion_runs(loaded) if run.role == role), None)


def run_colours(loaded: LoadedStudy) -> dict[str, str]:
    """A colour for each run: baseline and improved keep theirs, one-pass models take the palette's other end."""
    fixed = {"baseline": BASELINE, "improved": IMPROVED}
    runs, models = diffusion_runs(loaded), one_pass_runs(loaded)
    variants, others = iter(VARIANTS * len(runs)), iter(VARIANTS[::-1] * len(models))
    return {run.name: fixed.get(run.role) or next(variants) for run in runs} | {m.name: next(others) for m in models}


def run_label(loaded: LoadedStudy, name: str) -> str:
    """How a run is called in the report; one that an experiment trains, and gives no name,
    by its start and what was set.
    """
    run = {**loaded.runs, **loaded.ablations}.get(name)
    if run is None or run.of is None or run.label != name:
        return name if run is None else run.label
    label = loaded.runs[run.of].label
    for planned in loaded.experiments.values():
        for member in planned.members:
            if member.run == name and run.overrides:
                at = [(axis, value) for axis, value in zip(planned.axes, member.at, strict=True) if is_training(axis)]
                said = [
                    f"{axis_title(axis)} " * (axis != "arm") + axis_value(loaded, planned.asks, axis, value)
                    for axis, value in at
                ]
                return f"{label} ({', '.join(said)})" if said else name
    return name if run.overrides else label


def unique_label(loaded: LoadedStudy, run: ResolvedRun) -> str:
    """A run's label, with its name where another run has the same."""
    same = sum(other.label == run.label for other in diffusion_runs(loaded))
    return run.label if same == 1 else f"{run.label} ({run.name})"


def run_seed(run: ResolvedRun, seed: int) -> str:
    """How a run is called in a sentence, with the seed where it has several."""
    return run.label + (f" (seed {seed})" if len(run.seeds) > 1 else "")


def run_seeds(run: ResolvedRun, seeds: list[int]) -> str:
    """How some trainings of a run are called in a sentence: by the run alone where they are all of them."""
    which = "seed" if len(seeds) == 1 else "seeds"
    return run.label + (f" ({which} {listed([*map(str, seeds)])})" if len(seeds) < len(run.seeds) else "")


#: Options that a sampler's title says in words of their own.
NAMED = (
    "eta",
    "order",
    "variance",
    "spacing",
    "guidance",
    "classifier_scale",
    "initial_temperature",
    "step_temperature",
)


def plain_title(kind: str) -> str:
    """A sampler without its options; it stands in lists."""
    return SAMPLERS[kind].title.replace(",", "")


def sampler_title(run: ResolvedRun, key: str) -> str:
    """How people call a run's way of sampling: "DPM-Solver++ 2M", "DDIM (η = 1)"."""
    if facts.is_one_pass(run):
        return "One pass"
    sampler = run.sampling.samplers[key]
    told = (
        (eta := sampler.options.get("eta"), f"η = {eta:g}" if eta else ""),
        (sampler.variance, f"{str(sampler.variance).removeprefix('fixed-')} variance"),
        (sampler.spacing != "uniform", f"{sampler.spacing} spacing"),
        (sampler.guidance is not None, f"guidance {sampler.guidance or 0:g}"),
        (sampler.classifier_scale is not None, f"classifier scale {sampler.classifier_scale or 0:g}"),
        (sampler.initial_temperature != 1, f"x_T × {sampler.initial_temperature:g}"),
        (sampler.step_temperature != 1, f"noise of steps × {sampler.step_temperature:g}"),
    )
    others = {k: v for k, v in facts.other_options(run, key).items() if k not in NAMED}
    notes = ", ".join([text for said, text in told if said] + [f"{k} {setting_text(v)}" for k, v in others.items()])
    title = plain_title(sampler.kind or key)
    if sampler.options.get("order") == 1:
        title = title.replace("2M", "1S")
    return f"{title} ({notes})" if notes else title


def key_title(loaded: LoadedStudy, key: str) -> str:
    """The same of an entry of `samplers` that the compared runs share;
    with its key where it is not one thing in all.
    """
    titles = {sampler_title(run, key) for run in compared_runs(loaded) if key in run.sampling.samplers}
    return titles.pop() if len(titles) == 1 else key


def setting_title(loaded: LoadedStudy, run: str, setting: str) -> str:
    """A sampler and its steps in a heading or legend: "DDIM, 20 steps"."""
    found = _placed(loaded, run, setting)
    if found is None:
        return REAL_LINES.get(setting, setting)
    title = sampler_title(found[0], found[1])
    return title if facts.is_one_pass(found[0]) else f"{title}, {facts.in_words(found[2])}"


def setting_words(loaded: LoadedStudy, run: str, setting: str) -> str:
    """The same in a sentence: "20 steps of DDIM"."""
    if (found := _placed(loaded, run, setting)) is not None:
        return f"{facts.in_words(found[2])} of {in_sentence(sampler_title(*found[:2]))}"
    task, method, _ = RESTORED.get(setting, ("", "", None))
    return setting if not task else f"{task}: {'damaged images' if method == 'damaged' else method}"


def in_sentence(title: str) -> str:
    """A title as it stands within a sentence; names and abbreviations keep their capitals."""
    text = title if title[1:2].isupper() else title[:1].lower() + title[1:]
    return text.replace("ancestral", "ancestral sampling", 1)


def _placed(loaded: LoadedStudy, run: str, setting: str) -> tuple[ResolvedRun, str, Pace] | None:
    known = {**loaded.runs, **loaded.ablations}.get(run)
    found = {name: (known, key, steps) for name, key, steps in facts.settings(known)} if known else {}
    return found.get(setting)


def cell_label(loaded: LoadedStudy, run: str, setting: str) -> str:
    """How a run and setting, or a line of real images or noise, is called in a sentence."""
    if run == "real":
        return REAL_LINES.get(setting, setting)
    label = run_label(loaded, run)
    alone = setting in RUN_SETTINGS.values() or run in {model.name for model in one_pass_runs(loaded)}
    return label if alone else f"{label} with {setting_words(loaded, run, setting)}"


def training_of(run: ResolvedRun) -> TrainingConfig:
    """How a run of a U-Net is trained."""
    assert isinstance(run.training, TrainingConfig)
    return run.training


def compared_runs(loaded: LoadedStudy) -> list[ResolvedRun]:
    """The main runs that stand beside one another: a class-conditional run is told what the others are not."""
    runs = diffusion_runs(loaded)
    return [run for run in runs if not facts.is_conditional(run)] or runs


def sampler_keys(loaded: LoadedStudy) -> list[str]:
    """The samplers of the compared runs, in the order in which the study names them; those of experiments last."""
    ways = (facts.comparable_settings, facts.settings)
    return list(dict.fromkeys(key for of in ways for run in compared_runs(loaded) for _, key, _ in of(run)))


def settings_in_order(loaded: LoadedStudy) -> list[Setting]:
    """The settings of all compared runs: samplers as the study names them, most steps first."""
    order = {key: position for position, key in enumerate(sampler_keys(loaded))}
    every = {setting for run in compared_runs(loaded) for setting in facts.comparable_settings(run)}
    return sorted(every, key=lambda setting: (order[setting[1]], facts.fineness(setting)))


#: Axes of experiments in words, where the key says it badly.
AXES = {
    "sampler.eta": "η",
    "sampler.guidance": "guidance",
    "sampler.initial_temperature": "temperature of x_T",
    "sampler.step_temperature": "temperature of steps",
    "sampler.classifier_scale": "scale of the classifier",
    "training.accumulate": "parts of a step",
    "training.steps": "training steps",
    "training.clip_norm": "limit of the gradient's norm",
    "training.decay": "decay of the learning rate",
    "training.ema_decay": "EMA decay",
    "training.warmup": "steps of warm-up",
    "hardware.precision": "number format",
    "network.class_mlp": "two layers on the class",
    "sampler.variations": "own noise",
    "arm": "network or training",
}


#: Axes on which 0 means that it is not there at all.
NONE_AT_ZERO = ("training.clip_norm", "training.ema_decay", "training.warmup")

#: Metrics of variety, of which more is not better in itself.
VARIETY = ("diversity", "class_diversity", "pixel_diversity", "lpips_diversity")
#: Metrics whose best value is that of real images.
AS_REAL = (*VARIETY, "hue_agreement")

#: Predictions as they are written in formulas.
PREDICTIONS = {"eps": "ε", "x0": "x₀", "mu": "μ"}


def is_sampling(axis: str) -> bool:
    """Whether an axis says how images are made, and not by which network."""
    return axis == "steps" or axis.startswith("sampler")


def is_training(axis: str) -> bool:
    """Whether it says what was set to train the network, and not of which run."""
    return axis != "run" and not is_sampling(axis)


def axis_title(axis: str) -> str:
    """What an axis of an experiment is called."""
    return AXES.get(axis) or axis.rpartition(".")[2].replace("_", " ")


def _sampler_of(loaded: LoadedStudy, asks: Experiment, key: str) -> str:
    """The title of a sampler of an experiment, which may have other options under a name than the runs have."""
    said = asks.samplers or ({} if "sampler" in asks.vary else loaded.study.experiment_samplers)
    runs = [run for run in (*loaded.runs.values(), *loaded.ablations.values()) if key in run.sampling.samplers]

    def options(sampler: Sampler) -> dict[str, Any]:
        return sampler.model_dump(exclude={"kind", "steps"})

    meant = [run for run in runs if key in said and options(run.sampling.samplers[key]) == options(said[key])]
    titles = (sampler_title(run, key) for run in [*meant, *runs])
    return next(titles, plain_title(key) if key in SAMPLERS else key)


def axis_value(loaded: LoadedStudy, asks: Experiment, axis: str, value: object) -> str:
    """A value of an axis in words."""
    if axis == "run":
        return run_label(loaded, str(value))
    if axis == "arm":
        if (arm := asks.arms.get(str(value))) is not None:
            return arm.label or str(value)
        return "unchanged" if len(asks.starts()) > 1 else run_label(loaded, str(value))
    if axis == "sampler":
        return _sampler_of(loaded, asks, str(value))
    if axis.endswith("prediction"):
        return PREDICTIONS.get(str(value), str(value))
    if axis == "steps" and isinstance(value, str):
        return facts.in_words(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if axis in NONE_AT_ZERO and value == 0:
        return "0 (none)"
    if value is None and None not in asks.vary.get(axis, ()):
        return NOT_ASKED
    return f"[{setting_text(value)}]" if isinstance(value, tuple) else setting_text(value)
