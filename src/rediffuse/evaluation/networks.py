"""The feature networks by name, and what the networks of LPIPS need: looking one up imports nothing."""

from dataclasses import dataclass

from rediffuse.registry import Registry


@dataclass(frozen=True)
class FeatureEntry:
    """A feature network: `code` ("module:function") makes it of options and a progress."""

    name: str
    code: str


FEATURE_NETWORKS: Registry[FeatureEntry] = Registry(
    "feature network",
    FeatureEntry("efficientnet-lite0", "rediffuse.evaluation.efficientnet:make"),
    FeatureEntry("inception-v3", "rediffuse.evaluation.inception:make_legacy"),
    FeatureEntry("inception-v3-clean", "rediffuse.evaluation.inception:make_clean"),
    FeatureEntry("torchscript", "rediffuse.evaluation.torchscript:make"),
)

#: Least side of an image that each network of LPIPS takes.
LPIPS_LEAST: dict[str, int] = {"alex": 31, "vgg": 16}
