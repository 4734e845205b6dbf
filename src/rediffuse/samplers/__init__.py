"""Samplers: plain functions over a denoiser, one file each, and what wraps or feeds them.

A sampler is called as `sampler(denoiser, noise, callback=None, ...)` and returns x0, [B, C, H, W]: `denoiser` knows the
model and the (respaced) process, whose number of steps is the sampler's; `noise` gives x_T and the step noise by
number. The step functions (`ddpm_step`, `ddim_step`, ...) take tensors and noise levels only, and keep the caller's
dtype and device. `SAMPLERS` lists the samplers by name.
"""

from rediffuse.lazy import passes_on

__all__ = passes_on(
    __name__,
    "adaptive:AdaptiveSolution",
    "adaptive:adaptive",
    "adaptive:solve_adaptive",
    "ancestral:ancestral",
    "ancestral:ancestral_step",
    "ancestral:ddpm_step",
    "ddim:ddim",
    "ddim:ddim_sigma",
    "ddim:ddim_step",
    "dpm_solver_pp:dpm_solver_pp",
    "dpm_solver_pp:dpm_solver_pp_1s_step",
    "dpm_solver_pp:dpm_solver_pp_2m_step",
    "flow:flow_euler",
    "flow:flow_heun",
    "flow:flow_heun_step",
    "flow:flow_step",
    "generate:generate",
    "guidance:ClassifierFreeGuidance",
    "guidance:ClassifierGuidance",
    "interfaces:Callback",
    "interfaces:DenoiserLike",
    "interfaces:EvaluationCounter",
    "interfaces:NoiseSource",
    "interfaces:over",
    "partial:StartFrom",
    "partial:renoise",
    "partial:sample_from",
    "plms:multistep_eps",
    "plms:plms",
    "probability_flow:euler",
    "probability_flow:heun",
    "probability_flow:heun_step",
    "probability_flow:probability_flow_step",
    "registry:SAMPLERS",
    "registry:SamplerSpec",
    "registry:check_request",
    "registry:get_sampler",
    "restoration:denoise",
    "restoration:denoise_by_sampling",
    "restoration:downsample",
    "restoration:inpaint",
    "restoration:null_space_sample",
    "restoration:psnr",
    "restoration:super_resolve",
    "restoration:upsample",
    "reverse_sde:euler_maruyama_step",
    "reverse_sde:reverse_sde",
    "trajectory:Trajectory",
    "trajectory:evenly",
    "variations:BlendedNoise",
    "variations:variations",
)
