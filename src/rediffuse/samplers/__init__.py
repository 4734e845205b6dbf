"""Samplers: plain functions over a denoiser, one file each, and what wraps or feeds them.

A sampler is called as `sampler(denoiser, noise, callback=None, ...)` and returns x0, [B, C, H, W]: `denoiser` knows the
model and the (respaced) process, whose number of steps is the sampler's; `noise` gives x_T and the step noise by
number. The step functions (`ddpm_step`, `ddim_step`, ...) take tensors and noise levels only, and keep the caller's
dtype and device. `SAMPLERS` lists the samplers by name.
"""

from rediffuse.samplers.adaptive import AdaptiveSolution, adaptive, solve_adaptive
from rediffuse.samplers.ancestral import ancestral, ancestral_step, ddpm_step
from rediffuse.samplers.ddim import ddim, ddim_sigma, ddim_step
from rediffuse.samplers.dpm_solver_pp import dpm_solver_pp, dpm_solver_pp_1s_step, dpm_solver_pp_2m_step
from rediffuse.samplers.flow import flow_euler, flow_heun, flow_heun_step, flow_step
from rediffuse.samplers.generate import generate
from rediffuse.samplers.guidance import ClassifierFreeGuidance, ClassifierGuidance
from rediffuse.samplers.interfaces import Callback, DenoiserLike, EvaluationCounter, NoiseSource, over
from rediffuse.samplers.partial import StartFrom, renoise, sample_from
from rediffuse.samplers.plms import multistep_eps, plms
from rediffuse.samplers.probability_flow import euler, heun, heun_step, probability_flow_step
from rediffuse.samplers.registry import SAMPLERS, SamplerSpec, check_request, get_sampler
from rediffuse.samplers.restoration import (
    denoise,
    denoise_by_sampling,
    downsample,
    inpaint,
    null_space_sample,
    psnr,
    super_resolve,
    upsample,
)
from rediffuse.samplers.reverse_sde import euler_maruyama_step, reverse_sde
from rediffuse.samplers.trajectory import Trajectory, evenly
from rediffuse.samplers.variations import BlendedNoise, variations

__all__ = [
    "SAMPLERS",
    "AdaptiveSolution",
    "BlendedNoise",
    "Callback",
    "ClassifierFreeGuidance",
    "ClassifierGuidance",
    "DenoiserLike",
    "EvaluationCounter",
    "NoiseSource",
    "SamplerSpec",
    "StartFrom",
    "Trajectory",
    "adaptive",
    "ancestral",
    "ancestral_step",
    "check_request",
    "ddim",
    "ddim_sigma",
    "ddim_step",
    "ddpm_step",
    "denoise",
    "denoise_by_sampling",
    "downsample",
    "dpm_solver_pp",
    "dpm_solver_pp_1s_step",
    "dpm_solver_pp_2m_step",
    "euler",
    "euler_maruyama_step",
    "evenly",
    "flow_euler",
    "flow_heun",
    "flow_heun_step",
    "flow_step",
    "generate",
    "get_sampler",
    "heun",
    "heun_step",
    "inpaint",
    "multistep_eps",
    "null_space_sample",
    "over",
    "plms",
    "probability_flow_step",
    "psnr",
    "renoise",
    "reverse_sde",
    "sample_from",
    "solve_adaptive",
    "super_resolve",
    "upsample",
    "variations",
]
