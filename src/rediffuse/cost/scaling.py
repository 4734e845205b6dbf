"""The same network on larger images."""

import math

from rediffuse.errors import UserError
from rediffuse.models.unet_config import UNetConfig


def at_side(config: UNetConfig, side: int) -> UNetConfig:
    """The network with the same weights on images of `side` × `side` pixels: attention stays at its levels.

    Raises:
        UserError: `side` does not survive the halvings.
    """
    attention = tuple(side >> level for level, s in enumerate(config.resolutions) if s in config.attention)
    return config.replace(image_size=side, attention=attention)


def sides(config: UNetConfig, count: int = 4) -> list[int]:
    """The network's own side and its next doublings."""
    return [config.image_size << doubling for doubling in range(count)]


def growth_exponent(cost: float, larger: float, pixels: float) -> float:
    """p in cost ∝ pixels**p, from the costs before and after the number of pixels grew by the factor `pixels`.

    Raises:
        UserError: a cost is not positive, or the number of pixels did not change.
    """
    if cost <= 0 or larger <= 0 or pixels <= 0 or pixels == 1:
        raise UserError(
            f"a growth exponent needs two positive costs and a change of pixels, not {cost}, {larger}, {pixels}"
        )
    return math.log(larger / cost) / math.log(pixels)
