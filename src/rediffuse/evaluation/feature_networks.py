"""The feature networks by name, and what LPIPS asks of images: looking one up imports neither torch nor numpy."""

from dataclasses import KW_ONLY, dataclass

from rediffuse.registry import Registry


@dataclass(frozen=True)
class FeatureNetworkSpec:
    """A feature network and its facts.

    reference: "module:class", called as (*arguments, options, progress) → `features.FeatureNetwork`. arguments: what
    comes first. takes_file: whether that is a file of the user's, named after a colon. title: its name in a sentence.
    """

    name: str
    reference: str
    arguments: tuple[str, ...] = ()
    takes_file: bool = False
    _: KW_ONLY
    title: str


FEATURE_NETWORKS = Registry(
    "feature network",
    FeatureNetworkSpec(
        "efficientnet-lite0",
        "rediffuse.evaluation.efficientnet:EfficientNetLite0",
        title="EfficientNet-Lite0",
    ),
    FeatureNetworkSpec(
        "inception-v3",
        "rediffuse.evaluation.inception:InceptionV3",
        ("legacy_tensorflow",),
        title="Inception-v3",
    ),
    FeatureNetworkSpec(
        "inception-v3-clean",
        "rediffuse.evaluation.inception:InceptionV3",
        ("clean",),
        title="Inception-v3 (clean-fid resizing)",
    ),
    FeatureNetworkSpec(
        "torchscript",
        "rediffuse.evaluation.torchscript:TorchScriptNetwork",
        (),
        True,
        title="torchscript",
    ),
)

#: What is said before a TorchScript file is loaded.
OWN_RISK = "{} is a TorchScript file, a program that runs with your rights: use none that you do not trust"

#: Least side of an image that each network of LPIPS takes.
LPIPS_LEAST = {"alex": 31, "vgg": 16}
