"""What fixes a one-pass model's function, apart from its weights."""

from typing import Literal

from pydantic import Field

from rediffuse.options import Options, PositiveInt


class LatentNetwork(Options):
    """The networks of a DCGAN or a VAE."""

    latent: PositiveInt = Field(100, le=10**6, description="length of the latent vector z")
    channels: PositiveInt = Field(
        64, le=10**5, description="channels of its largest hidden map; smaller maps have 2, 4, … times"
    )


class CriticNetwork(LatentNetwork):
    """The networks of a WGAN-GP."""

    critic_norm: Literal["layer", "none"] = Field("layer", description="normalisation in the critic (paper: layer)")
