"""diffusers' `DDPMScheduler` configuration: the schedule, what is predicted and with which variance."""

import contextlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from rediffuse.diffusion.named_schedules import SCHEDULES, scaled_ends
from rediffuse.diffusion.schedules import linear_betas, make_betas, quadratic_betas, sigmoid_betas
from rediffuse.errors import UserError, shown
from rediffuse.interop.foreign import Foreign

PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
# "learned" is left out: diffusers reads that output as the variance itself, ours is its logarithm.
VARIANCES = {"fixed-small": "fixed_small", "fixed-large": "fixed_large", "learned-range": "learned_range"}
NAMED = {"linear": "linear", "quadratic": "scaled_linear", "sigmoid": "sigmoid", "cosine": "squaredcos_cap_v2"}
# diffusers computes its betas in float32, whose rounding reaches 1 − β.
TOLERANCE = 1e-6
Beta = Annotated[float, Field(gt=0, lt=1)]


class Theirs(Foreign):
    """The arguments of `DDPMScheduler.__init__` that decide what is sampled, its defaults, and values we can have."""

    num_train_timesteps: Annotated[int, Field(ge=2, le=10**6)] = 1000
    beta_schedule: Literal["linear", "scaled_linear", "sigmoid", "squaredcos_cap_v2"] = "linear"
    beta_start: Beta = 1e-4
    beta_end: Beta = 0.02
    trained_betas: Annotated[tuple[Beta, ...], Field(strict=False, min_length=2, max_length=10**6)] | None = None
    # The "log" variants are the same variance, computed another way.
    variance_type: Literal["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned_range"] = (
        "fixed_small"
    )
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    clip_sample: bool = True
    clip_sample_range: Annotated[float, Field(ge=1, le=1)] = 1.0
    thresholding: Literal[False] = False
    rescale_betas_zero_snr: Literal[False] = False


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
    if "_class_name" in config and not {"beta_schedule", "trained_betas"} & set(config):
        raise UserError(
            f"_class_name: {shown(config['_class_name'])} cannot be represented; a scheduler with betas can"
        )
    theirs = Theirs.read(config)
    betas = _betas(theirs)
    return Process(
        timesteps=len(betas),
        schedule=_schedule_of(betas, theirs),
        prediction=_ours(theirs.prediction_type, PREDICTIONS),
        variance=_ours(theirs.variance_type.removesuffix("_log"), VARIANCES),
        clip=theirs.clip_sample,
    )


def any_process(config: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """`Process.settings` and `clip`; betas of no schedule here stand as `betas` in place of its name and steps.

    Raises:
        UserError: as `process_from_scheduler`, for anything else.
    """
    try:
        process = process_from_scheduler(config)
    except UserError:
        if not {"beta_schedule", "trained_betas"} & set(config):
            raise
        theirs = Theirs.read(config)
        return {
            "betas": _betas(theirs).tolist(),
            "prediction": _ours(theirs.prediction_type, PREDICTIONS),
            "variance": _ours(theirs.variance_type.removesuffix("_log"), VARIANCES),
        }, theirs.clip_sample
    return process.settings(), process.clip


def _ours(given: str, names: Mapping[str, str]) -> str:
    return next(ours for ours, theirs in names.items() if theirs == given)


def _betas(theirs: Theirs) -> Tensor:
    if theirs.trained_betas is not None:
        return torch.tensor(theirs.trained_betas, dtype=torch.float64)
    if theirs.beta_schedule == "squaredcos_cap_v2":
        return make_betas("cosine", theirs.num_train_timesteps)
    rising = {"linear": linear_betas, "scaled_linear": quadratic_betas, "sigmoid": sigmoid_betas}
    return rising[theirs.beta_schedule](theirs.num_train_timesteps, theirs.beta_start, theirs.beta_end)


def _schedule_of(betas: Tensor, theirs: Theirs) -> str:
    """The named schedule that has these betas."""
    for schedule in SCHEDULES:
        with contextlib.suppress(UserError):  # too few steps for this schedule
            if np.allclose(make_betas(schedule, len(betas)), betas, rtol=TOLERANCE, atol=TOLERANCE * 1e-2):
                return schedule
    given = {key: getattr(theirs, key) for key in ("beta_schedule", "beta_start", "beta_end")}
    raise UserError(
        f"beta_schedule: {', '.join(f'{k} {v}' for k, v in given.items())} at {len(betas)} steps are the betas of no "
        "schedule here; those of Ho et al. and IDDPM can be represented (1e-4 to 0.02 at 1,000 steps, or cosine)"
    )
