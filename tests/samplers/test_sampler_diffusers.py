"""Agreement with the schedulers of diffusers, driven by the same network, the same steps and the same noise.

Their tables are float32 (a product of 1,000 factors is off by 1e-6), so the agreement is to 1e-5, run in float64. Not
compared: ScoreSdeVpScheduler, whose beta(t) is a continuous linear function with its own discretisation and clamps,
where `reverse_sde` takes the betas of the process; it is held by its exact moments in test_sampler_convergence.py
instead.
"""

import pytest
import torch
from torch import Tensor

from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.interpolant import VelocityField
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.dpm_solver_pp import dpm_solver_pp
from rediffuse.samplers.flow import flow_euler
from rediffuse.samplers.plms import plms
from rediffuse.samplers.probability_flow import euler, heun

diffusers = pytest.importorskip("diffusers")

SHAPE = (6, 3, 4, 4)
TABLES = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
WHOLE = DiffusionProcess.create("linear", 1000)


def network(x: Tensor, t: Tensor) -> Tensor:
    """A fixed function with some of everything, and clipping at work where it is asked for."""
    time = t.reshape(-1, 1, 1, 1).to(x.dtype) / 1000
    return 0.95 * x + 0.3 * torch.sin(2 * x.roll(1, -1) + 3 * time) * (1 - time)


def gaussian(count: int) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def assert_agree(ours: Tensor, theirs: Tensor) -> None:
    assert float(ours.std()) > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("variance", ["fixed-large", "fixed-small"])
def test_ancestral_sampling_agrees_with_ddpm_scheduler(variance, clip, given_noise):
    kept = list(range(0, 1000, 37))
    scheduler = diffusers.DDPMScheduler(**TABLES, variance_type=variance.replace("-", "_"), clip_sample=clip)
    scheduler.set_timesteps(timesteps=kept[::-1])
    draws, x = gaussian(len(kept)), gaussian(1)[0]
    # The scheduler draws its own noise; the same generator gives the same numbers in the same order.
    generator = torch.Generator().manual_seed(5)
    steps = [torch.randn(SHAPE, generator=generator, dtype=torch.float64) for _ in draws]
    generator.manual_seed(5)
    theirs = x
    for t in scheduler.timesteps:
        eps = network(theirs, t.expand(len(x)))
        theirs = scheduler.step(eps, int(t), theirs, generator=generator).prev_sample
    denoiser = Denoiser(network, WHOLE.respace(kept), variance=variance, clip=clip)
    assert_agree(ancestral(denoiser, given_noise(x, torch.stack(steps))), theirs)


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_agrees_with_ddim_scheduler_when_it_uses_the_clipped_output(eta, clip, given_noise):
    scheduler = diffusers.DDIMScheduler(**TABLES, clip_sample=clip, set_alpha_to_one=True, timestep_spacing="leading")
    scheduler.set_timesteps(25)
    draws, x = gaussian(25), gaussian(1)[0]
    theirs = x
    for k, t in enumerate(scheduler.timesteps):
        eps = network(theirs, t.expand(len(x)))
        theirs = scheduler.step(
            eps, int(t), theirs, eta=eta, use_clipped_model_output=True, variance_noise=draws[k]
        ).prev_sample
    denoiser = Denoiser(network, WHOLE.respace(range(0, 1000, 40)), clip=clip)
    assert_agree(ddim(denoiser, given_noise(x, draws), eta=eta), theirs)


@pytest.mark.parametrize("order", [1, 2])
def test_dpm_solver_agrees_with_dpm_solver_multistep_scheduler(order, given_noise):
    kept = list(range(0, 1000, 37))
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **TABLES,
        algorithm_type="dpmsolver++",
        solver_order=order,
        solver_type="midpoint",
        final_sigmas_type="zero",
        lower_order_final=True,
    )
    scheduler.set_timesteps(timesteps=kept[::-1])
    x = gaussian(1)[0]
    theirs = x
    for t in scheduler.timesteps:
        theirs = scheduler.step(network(theirs, t.expand(len(x))), t, theirs).prev_sample
    denoiser = Denoiser(network, WHOLE.respace(kept), clip=False)
    assert_agree(dpm_solver_pp(denoiser, given_noise(x), order=order), theirs)


def test_plms_agrees_with_pndm_scheduler(given_noise):
    scheduler = diffusers.PNDMScheduler(
        **TABLES, skip_prk_steps=True, set_alpha_to_one=True, timestep_spacing="leading", steps_offset=0
    )
    scheduler.set_timesteps(20)
    x = gaussian(1)[0]
    theirs = x
    for t in scheduler.timesteps:
        theirs = scheduler.step(network(theirs, t.expand(len(x))), int(t), theirs).prev_sample
    assert_agree(plms(Denoiser(network, WHOLE.respace(range(0, 1000, 50)), clip=False), given_noise(x)), theirs)


@pytest.mark.parametrize(("name", "run"), [("EulerDiscreteScheduler", euler), ("HeunDiscreteScheduler", heun)])
def test_the_probability_flow_agrees_with_the_sigma_schedulers(name, run, given_noise):
    scheduler = getattr(diffusers, name)(**TABLES, timestep_spacing="linspace")
    scheduler.set_timesteps(28)
    x = gaussian(1)[0]
    # Their state is x / sqrt(abar), and starts at sigma_max times unit noise; ours starts at x itself.
    theirs = x / float(WHOLE.alphas_bar[-1]) ** 0.5
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(theirs, t)
        theirs = scheduler.step(network(scaled, t.expand(len(x))), t, theirs).prev_sample
    assert_agree(run(Denoiser(network, WHOLE.respace(range(0, 1000, 37)), clip=False), given_noise(x)), theirs)


def test_the_flow_agrees_with_flow_match_euler_scheduler(given_noise):
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=1.0)
    scheduler.set_timesteps(sigmas=[1 - i / 8 for i in range(8)])
    x = gaussian(1)[0]
    theirs = x
    for t in scheduler.timesteps:
        theirs = scheduler.step(network(theirs, t.expand(len(x))), t, theirs).prev_sample
    assert_agree(flow_euler(VelocityField(network), given_noise(x), steps=8), theirs)
