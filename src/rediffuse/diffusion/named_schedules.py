"""The noise schedules by name, and the ends between which they rise: all that can be known of them without a tensor."""

import math
from dataclasses import dataclass

from rediffuse.errors import UserError
from rediffuse.registry import Registry

#: Ho et al. (2020), §4: β from 1e-4 to 0.02 at T = 1000.
BETA_START, BETA_END, REFERENCE_TIMESTEPS = 1e-4, 0.02, 1000


@dataclass(frozen=True)
class Schedule:
    """A named schedule.

    betas: "module:function" that gives float64 [T] of T and two further arguments. rises: whether these are β_start and
    β_end, its smallest and largest β; otherwise they are the offset s and the clip, and any T will do.
    """

    name: str
    betas: str
    rises: bool = True


SCHEDULES = Registry(
    "schedule",
    Schedule("linear", "rediffuse.diffusion.schedules:linear_betas"),
    Schedule("quadratic", "rediffuse.diffusion.schedules:quadratic_betas"),
    Schedule("sigmoid", "rediffuse.diffusion.schedules:sigmoid_betas"),
    Schedule("piecewise", "rediffuse.diffusion.schedules:piecewise_betas"),
    Schedule("d4-quadratic", "rediffuse.diffusion.schedules:d4_quadratic_betas"),
    Schedule("d4-piecewise", "rediffuse.diffusion.schedules:d4_piecewise_betas"),
    Schedule("cosine", "rediffuse.diffusion.schedules:cosine_betas", False),
)


def scaled_ends(schedule: str, timesteps: int) -> tuple[float, float]:
    """β_start and β_end of a schedule of T ≥ 1 steps: 1e-4 and 0.02, times 1000/T for one that rises between them.

    So any T ends at about the same ᾱ (`get_named_beta_schedule` of IDDPM).

    Raises:
        UserError: an unknown name, or a T so small that the scaled β_end would reach 1.
    """
    scale = REFERENCE_TIMESTEPS / timesteps if SCHEDULES.find(schedule).rises else 1.0
    if scale * BETA_END >= 1:
        raise UserError(
            f"the {schedule} schedule needs at least {math.floor(REFERENCE_TIMESTEPS * BETA_END) + 1} timesteps, not "
            f"{timesteps}: its last beta would be {scale * BETA_END:.3g}, and betas lie below 1"
        )
    return scale * BETA_START, scale * BETA_END
