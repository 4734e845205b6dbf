"""Schedules, predictions and variances as diffusers' `DDPMScheduler` configurations, against that scheduler."""

from typing import Any

import pytest
import torch

from rediffuse.diffusion.schedules import SCHEDULES, make_betas
from rediffuse.errors import UserError
from rediffuse.interop.scheduler_format import Process, process_from_scheduler, scheduler_config

diffusers = pytest.importorskip("diffusers")


@pytest.mark.parametrize("timesteps", [50, 1000, 4000])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_diffusers_scheduler_has_the_betas_of_the_schedule(schedule: str, timesteps: int) -> None:
    config = scheduler_config(Process(timesteps, schedule, "eps", "fixed-small", True))
    theirs = diffusers.DDPMScheduler.from_config(config).betas.double()
    # float32 on their side: of cosine's β = 1 − ratio, the ratio is rounded.
    torch.testing.assert_close(theirs, make_betas(schedule, timesteps), rtol=1e-5, atol=2e-7)


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
@pytest.mark.parametrize("variance", ["fixed-small", "fixed-large", "learned-range"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_process_survives_the_way_there_and_back(schedule: str, variance: str, prediction: str) -> None:
    process = Process(1000, schedule, prediction, variance, False)
    assert process_from_scheduler(scheduler_config(process)) == process


def test_what_diffusers_itself_saves_is_read() -> None:
    saved = dict(diffusers.DDPMScheduler(beta_schedule="squaredcos_cap_v2", variance_type="fixed_small_log").config)
    assert process_from_scheduler(saved) == Process(1000, "cosine", "eps", "fixed-small", True)


def test_betas_given_one_by_one_are_recognised() -> None:
    config = {"trained_betas": make_betas("sigmoid", 300).tolist()}
    assert process_from_scheduler(config).schedule == "sigmoid"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beta_end": 0.03}, "beta_schedule: .*0.03"),
        ({"beta_schedule": "laplace"}, "beta_schedule: 'laplace'"),
        ({"variance_type": "learned"}, "variance_type: 'learned'"),
        ({"prediction_type": "flow"}, "prediction_type: 'flow'"),
        ({"thresholding": True}, "thresholding: True"),
        ({"clip_sample_range": 2.0}, "clip_sample_range: 2.0"),
        ({"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr: True"),
    ],
)
def test_a_scheduler_that_cannot_be_represented_is_refused_by_key_and_value(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        process_from_scheduler(change)


@pytest.mark.parametrize(("key", "value"), [("prediction", "velocity"), ("prediction", "mu"), ("variance", "learned")])
def test_a_process_that_diffusers_lacks_is_refused_by_name(key: str, value: str) -> None:
    process = Process(1000, "linear", "eps", "fixed-small", True)._replace(**{key: value})
    with pytest.raises(UserError, match=f"diffusion.{key} is {value}"):
        scheduler_config(process)
