"""The metrics by name, with what each is called and which way it is better: looking one up imports nothing.

A metric of samples is a function (scorer, features) → float of one group of images (`scoring`); a new one is such a
function in a file and an entry here.
"""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from rediffuse.evaluation.feature_networks import FEATURE_NETWORKS
from rediffuse.registry import Registry, load


@dataclass(frozen=True)
class Metric:
    """A metric and its facts.

    reference: "module:function" of `compute`. better: which way. title: its name in a sentence, {network} standing for
    the feature network; short: in a table header; inception: what it is called instead with features of Inception-v3.
    headline: whether the report compares runs by it; the others can be claimed about. setting: what stands for a
    sampler in the cell of a metric of a run itself (`run/likelihood`).
    """

    name: str
    reference: str
    _: KW_ONLY
    better: Literal["lower", "higher"]
    title: str
    short: str
    inception: str | None = None
    headline: bool = False
    setting: str | None = None

    @property
    def compute(self) -> Callable[..., Any]:
        """What computes it; imported when it is asked for."""
        return load(self.reference)


#: Metrics of samples: (scorer, features) → float.
METRICS = Registry(
    "metric",
    Metric(
        "frechet_distance",
        "rediffuse.evaluation.scoring:frechet_distance",
        better="lower",
        title="Fréchet distance in {network} features",
        short="Fréchet distance",
        inception="FID",
        headline=True,
    ),
    Metric(
        "kid",
        "rediffuse.evaluation.scoring:kernel_distance",
        better="lower",
        title="kernel distance (KID formula) in {network} features",
        short="Kernel distance",
        inception="KID",
        headline=True,
    ),
    Metric(
        "inception_score",
        "rediffuse.evaluation.scoring:inception_score_of_group",
        better="higher",
        title="IS formula on {network} class probabilities",
        short="IS formula",
        inception="Inception score",
        headline=True,
    ),
    Metric(
        "precision",
        "rediffuse.evaluation.scoring:precision",
        better="higher",
        title="precision",
        short="Precision",
    ),
    Metric("recall", "rediffuse.evaluation.scoring:recall", better="higher", title="recall", short="Recall"),
    Metric("density", "rediffuse.evaluation.scoring:density", better="higher", title="density", short="Density"),
    Metric("coverage", "rediffuse.evaluation.scoring:coverage", better="higher", title="coverage", short="Coverage"),
    Metric(
        "diversity",
        "rediffuse.evaluation.scoring:group_diversity",
        better="higher",
        title="diversity",
        short="Diversity",
    ),
)

#: Metrics of samples that were asked for by class: (features [N, dim], labels [N], `FeatureClassifier`) → float.
CLASS_METRICS = Registry(
    "metric of classes",
    Metric(
        "class_accuracy",
        "rediffuse.evaluation.classes:class_accuracy",
        better="higher",
        title="class accuracy",
        short="Class accuracy",
    ),
    Metric(
        "class_diversity",
        "rediffuse.evaluation.classes:class_diversity",
        better="higher",
        title="class diversity",
        short="Class diversity",
    ),
)

#: Metrics of the pixels of samples, which the report computes where an experiment or a claim asks: images → float.
PIXEL_METRICS = Registry(
    "metric of pixels",
    Metric(
        "pixel_diversity",
        "rediffuse.evaluation.distances:pixel_diversity",
        better="higher",
        title="pixel diversity (mean L2 distance between two images, pixels in [0, 1])",
        short="Pixel diversity",
    ),
)

#: Metrics of the colours of samples, which every score of coloured images holds beside its metrics.
COLOUR_METRICS = Registry(
    "metric of colours",
    Metric(
        "colour_cast",
        "rediffuse.evaluation.colours:colour_statistics",
        better="lower",
        title="colour cast (distance of the mean colour from that of held-out images, channels in [0, 1])",
        short="Colour cast",
    ),
    Metric(
        "hue_agreement",
        "rediffuse.evaluation.colours:colour_statistics",
        better="lower",
        title="agreement of hues (1: all images share one hue, 0: their hues cancel out)",
        short="Hues agree",
    ),
)

#: Of variations of one image only these say something: any metric of quality misses what was left out on purpose.
OF_VARIATIONS = ("diversity", *PIXEL_METRICS)

#: Metrics of a run itself, which has no samples: the cell is run/`setting`.
RUN_METRICS = Registry(
    "metric of a run",
    Metric(
        "bits_per_dim",
        "rediffuse.diffusion.likelihood:bits_per_dim",
        better="lower",
        title="bound on the negative log-likelihood in bits/dim",
        short="bits/dim",
        setting="likelihood",
    ),
    Metric(
        "parameters",
        "rediffuse.cost.exact:parameter_count",
        better="lower",
        title="number of parameters",
        short="Parameters",
        setting="trained",
    ),
    Metric(
        "gflops",
        "rediffuse.cost.flops:count_flops",
        better="lower",
        title="GFLOP of one forward pass of one image (1 multiply-add = 2 FLOPs)",
        short="GFLOP",
        setting="trained",
    ),
    Metric(
        "peak_memory",
        "rediffuse.cost.study:run_peak_memory",
        better="lower",
        title="memory of training in MiB by the cost model: state, and activations of the images seen at once",
        short="Training memory (MiB)",
        setting="trained",
    ),
    Metric(
        "eps_error",
        "rediffuse.jobs.probing:by_t",
        better="lower",
        title="mean squared error of ε̂ on held-out images, averaged over t",
        short="Error of ε̂",
        setting="trained",
    ),
    Metric(
        "held_out_loss",
        "rediffuse.jobs.probing:held_out_losses",
        better="lower",
        title="loss of the averaged weights on held-out images",
        short="Held-out loss",
        setting="trained",
    ),
    Metric(
        "gradient_noise",
        "rediffuse.training.gradient_noise:noise_to_signal",
        better="lower",
        title="noise of a batch's gradient beside its signal, tr Cov(g)/‖E g‖²",
        short="Gradient noise",
        setting="trained",
    ),
    Metric(
        "loss_variance",
        "rediffuse.training.gradient_noise:relative_variance",
        better="lower",
        title="variance of the loss between batches over its squared mean",
        short="Variance of loss",
        setting="trained",
    ),
)

#: Metrics of images that a trained network made good; the cell is run/place, a place of `RESTORED`.
RESTORED_METRICS = Registry(
    "metric of restored images",
    Metric(
        "psnr",
        "rediffuse.samplers.restoration:psnr",
        better="higher",
        title="PSNR of restored images in dB",
        short="PSNR (dB)",
    ),
)

#: Each place with task and method, as the record of restoration calls them, and which of `restoration.methods` makes
#: it: None where all do. Damaged images are what a method starts from.
RESTORED: dict[str, tuple[str, str, str | None]] = {
    "inpainting-damaged": ("inpainting", "damaged", None),
    "inpainting-repaint": ("inpainting", "RePaint", "ancestral"),
    "inpainting-ddnm-eta-0": ("inpainting", "DDNM, η = 0", "ddim"),
    "denoising-damaged": ("denoising", "damaged", None),
    "denoising-posterior-mean": ("denoising", "posterior mean", None),
    "denoising-posterior-sample": ("denoising", "posterior sample", "ancestral"),
    "denoising-ddim": ("denoising", "DDIM", "ddim"),
    "super-resolution-damaged": ("super-resolution", "damaged", None),
    "super-resolution-ddnm": ("super-resolution", "DDNM", "ancestral"),
    "super-resolution-ddnm-eta-0": ("super-resolution", "DDNM, η = 0", "ddim"),
}

KINDS = (METRICS, CLASS_METRICS, PIXEL_METRICS, COLOUR_METRICS, RUN_METRICS, RESTORED_METRICS)
#: Every metric by name.
KNOWN = {name: metric for registry in KINDS for name, metric in registry.items()}


def find_metric(name: str) -> Metric:
    """The metric of any kind called `name`. Raises UserError that lists the names."""
    return Registry("metric", *KNOWN.values()).find(name)


def metric_title(name: str, features: str) -> str:
    """A metric's name in a sentence, in features of that network: FID and Inception score are Inception-v3's alone.

    Raises UserError for an unknown metric.
    """
    metric = find_metric(name)
    if features == "inception-v3" and metric.inception is not None:
        return metric.inception
    network = FEATURE_NETWORKS[features].title if features in FEATURE_NETWORKS else features
    return metric.title.format(network=network)


def metric_short(name: str, features: str) -> str:
    """`metric_title` for a table header or an axis."""
    return metric_title(name, features) if features == "inception-v3" else find_metric(name).short


def facts() -> dict[str, Any]:
    """What is known of the metrics beside how they are computed, as JSON: {kind: {name: {fact: value}}}."""
    return {registry.kind: registry.facts() for registry in KINDS}
