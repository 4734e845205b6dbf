"""The kinds of model that a run may be, by name: what its network and its training may say."""

from dataclasses import dataclass

from rediffuse.options import Options
from rediffuse.registry import Registry, load


@dataclass(frozen=True)
class Model:
    """A kind of model.

    network, training: classes of options, as "module:class"; one_pass: whether it makes an image in one pass; bound:
    whether it bounds the likelihood; title: its name where a study gives none.
    """

    name: str
    network: str
    training: str
    title: str = ""
    one_pass: bool = True
    bound: bool = False

    @property
    def network_options(self) -> type[Options]:
        """The class of the options of its network."""
        return load(self.network)

    @property
    def training_options(self) -> type[Options]:
        """The class of the options of its training."""
        return load(self.training)


MODELS = Registry(
    "model",
    Model(
        "unet",
        "rediffuse.models.unet_config:NetworkOptions",
        "rediffuse.training.options:TrainingConfig",
        one_pass=False,
        bound=True,
    ),
    Model(
        "dcgan",
        "rediffuse.models.latent_options:LatentNetwork",
        "rediffuse.training.options:DcganTraining",
        title="DCGAN",
    ),
    Model(
        "wgan-gp",
        "rediffuse.models.latent_options:CriticNetwork",
        "rediffuse.training.options:WganTraining",
        title="WGAN-GP",
    ),
    Model(
        "vae",
        "rediffuse.models.latent_options:LatentNetwork",
        "rediffuse.training.options:VaeTraining",
        title="VAE",
        bound=True,
    ),
)
