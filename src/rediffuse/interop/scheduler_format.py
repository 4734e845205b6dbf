"""diffusers' `DDPMScheduler` configuration: the schedule, what is predicted and with which variance."""

import contextlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rediffuse.diffusion.named_schedules import SCHEDULES, scaled_ends
from rediffuse.diffusion.schedules import linear_betas, make_betas, quadratic_betas, sigmoid_betas
from rediffuse.errors import UserError

PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
# "learned" is left out: diffusers reads that output as the variance itself, ours is its logarithm.
VARIANCES = {"fixed-small": "fixed_small", "fixed-large": "fixed_large", "learned-range": "learned_range"}
NAMED = {"linear": "linear", "quadratic": "scaled_linear", "sigmoid": "sigmoid", "cosine": "squaredcos_cap_v2"}
# Keys that change what is sampled, and the only values of them that can be represented.
ONLY = {"thresholding": False, "clip_sample_range": 1.0, "rescale_betas_zero_snr": False}
# diffusers computes its betas in float32, whose rounding reaches 1 − β.
TOLERANCE = 1e-6


class Process(NamedTuple):
    """What a scheduler's configuration says: settings of a study's section `diffusion`, and whether x̂_0 is clipped."""

    timesteps: int
    schedule: str
    prediction: str
    variance: str
    clip: bool

    def settings(self) -> dict[str, Any]:
        """The settings of section `diffusion`."""
        return {name: value for name, value in self._asdict().items() if name != "clip"}


def scheduler_config(process: Process) -> dict[str, Any]:
    """The configuration of the `DDPMScheduler` of the same process.

    Raises:
        UserError: naming a setting that diffusers' schedulers do not have.
    """
    for key, value, known in (
        ("prediction", process.prediction, PREDICTIONS),
        ("variance", process.variance, VARIANCES),
    ):
        if value not in known:
            raise UserError(
                f"diffusion.{key} is {value}; diffusers' schedulers know {', '.join(known)}: use the format rediffuse"
            )
    start, end = scaled_ends(process.schedule, process.timesteps)
    trained = process.schedule not in NAMED
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": process.timesteps,
        "beta_schedule": NAMED.get(process.schedule, "linear"),
        "beta_start": start,
        "beta_end": end,
        "trained_betas": make_betas(process.schedule, process.timesteps).tolist() if trained else None,
        "variance_type": VARIANCES[process.variance],
        "prediction_type": PREDICTIONS[process.prediction],
        "clip_sample": process.clip,
        "clip_sample_range": 1.0,
        "thresholding": False,
        "rescale_betas_zero_snr": False,
    }


def process_from_scheduler(config: Mapping[str, Any]) -> Process:
    """The process that a scheduler's configuration describes; keys left out have `DDPMScheduler`'s defaults.

    Raises:
        UserError: `key: value …`, for the first key that our schedules, predictions and variances do not cover.
    """
    for key, only in ONLY.items():
        if (value := config.get(key, only)) != only:
            raise UserError(f"{key}: {value!r} cannot be represented; {only!r} can")
    betas = _betas(config)
    return Process(
        timesteps=len(betas),
        schedule=_schedule_of(betas, config),
        prediction=_ours(config, "prediction_type", "epsilon", PREDICTIONS),
        variance=_ours(config, "variance_type", "fixed_small", VARIANCES),
        clip=bool(config.get("clip_sample", True)),
    )


def _ours(config: Mapping[str, Any], key: str, default: str, names: Mapping[str, str]) -> str:
    given = config.get(key, default)
    # The "log" variants are the same variance, computed another way.
    plain = given.removesuffix("_log") if isinstance(given, str) else given
    for ours, theirs in names.items():
        if theirs == plain:
            return ours
    raise UserError(f"{key}: {given!r} cannot be represented; {', '.join(map(repr, names.values()))} can")


def _betas(config: Mapping[str, Any]) -> Tensor:
    if (trained := config.get("trained_betas")) is not None:
        return torch.tensor(trained, dtype=torch.float64)
    timesteps, name = config.get("num_train_timesteps", 1000), config.get("beta_schedule", "linear")
    start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    rising = {"linear": linear_betas, "scaled_linear": quadratic_betas, "sigmoid": sigmoid_betas}
    if name in rising:
        return rising[name](timesteps, start, end)
    if name == "squaredcos_cap_v2":
        return make_betas("cosine", timesteps)
    raise UserError(f"beta_schedule: {name!r} cannot be represented; {', '.join(map(repr, NAMED.values()))} can")


def _schedule_of(betas: Tensor, config: Mapping[str, Any]) -> str:
    """The named schedule that has these betas."""
    for schedule in SCHEDULES:
        with contextlib.suppress(UserError):  # too few steps for this schedule
            if np.allclose(make_betas(schedule, len(betas)), betas, rtol=TOLERANCE, atol=TOLERANCE * 1e-2):
                return schedule
    given = {key: config.get(key) for key in ("beta_schedule", "beta_start", "beta_end")}
    raise UserError(
        f"beta_schedule: {', '.join(f'{k} {v}' for k, v in given.items())} at {len(betas)} steps are the betas of no "
        "schedule here; those of Ho et al. and IDDPM can be represented (1e-4 to 0.02 at 1,000 steps, or cosine)"
    )
