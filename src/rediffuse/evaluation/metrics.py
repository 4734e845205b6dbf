"""The metrics by name: what computes them, which way each is better, how it is called. Looking one up imports nothing."""

from dataclasses import dataclass
from typing import Any

from rediffuse.registry import Registry


@dataclass(frozen=True)
class Metric:
    """A metric.

    code: (scorer, features of a group) -> value, as "module:function"; empty where a stage computes it by itself.
    better: "lower" or "higher". headline: whether runs are compared by it. short: its name in a table or on an axis.
    title: its full name; {network} stands for the feature network. proper: its name in Inception-v3 features, which is
    a name of no other. setting: of metrics of a run itself, what stands in place of a sampler.
    """

    name: str
    code: str = ""
    better: str = "higher"
    headline: bool = False
    short: str = ""
    title: str = ""
    proper: str = ""
    setting: str = ""


METRICS: Registry[Metric] = Registry(
    "metric",
    Metric(
        "frechet_distance",
        "rediffuse.evaluation.scoring:frechet_distance",
        better="lower",
        headline=True,
        short="Fréchet distance",
        title="Fréchet distance in {network} features",
        proper="FID",
    ),
    Metric(
        "kid",
        "rediffuse.evaluation.scoring:kernel_distance",
        better="lower",
        headline=True,
        short="Kernel distance",
        title="kernel distance (KID formula) in {network} features",
        proper="KID",
    ),
    Metric(
        "inception_score",
        "rediffuse.evaluation.scoring:score_of_classes",
        better="higher",
        headline=True,
        short="IS formula",
        title="IS formula on {network} class probabilities",
        proper="Inception score",
    ),
    Metric("precision", "rediffuse.evaluation.scoring:precision", better="higher", short="Precision"),
    Metric("recall", "rediffuse.evaluation.scoring:recall", better="higher", short="Recall"),
    Metric("density", "rediffuse.evaluation.scoring:density", better="higher", short="Density"),
    Metric("coverage", "rediffuse.evaluation.scoring:coverage", better="higher", short="Coverage"),
    Metric("diversity", "rediffuse.evaluation.scoring:diversity", better="higher", short="Diversity"),
)

#: Metrics of samples that were asked for by class.
CLASS_METRICS: Registry[Metric] = Registry(
    "metric of classes",
    Metric("class_accuracy", better="higher", short="Class accuracy"),
    Metric("class_diversity", better="higher", short="Class diversity"),
)

#: Metrics of a run itself: the cell is `run/likelihood`.
RUN_METRICS: Registry[Metric] = Registry(
    "metric of a run",
    Metric(
        "bits_per_dim",
        better="lower",
        short="bits/dim",
        title="bound on the negative log-likelihood in bits/dim",
        setting="likelihood",
    ),
)


def find_metric(name: str) -> Metric:
    """The metric of any kind called `name`. Raises KeyError."""
    return next(kind[name] for kind in (METRICS, CLASS_METRICS, RUN_METRICS) if name in kind)


def headline_metrics() -> list[str]:
    """Those that the report compares runs by; the others are in its metrics files and may be claimed about."""
    return [name for name, metric in METRICS.items() if metric.headline]


def facts() -> dict[str, Any]:
    """What a report says by: everything known of the metrics but their code."""
    every = [*METRICS.values(), *CLASS_METRICS.values(), *RUN_METRICS.values()]
    return {m.name: {k: v for k, v in vars(m).items() if k not in ("name", "code")} for m in every}
