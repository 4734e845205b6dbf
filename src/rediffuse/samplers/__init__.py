"""Samplers: plain functions over a denoiser, one file each, and what wraps or feeds them.

A sampler is called as `sampler(denoiser, noise, callback=None, ...)` and returns x0, [B, C, H, W]: `denoiser` knows the
model and the (respaced) process, whose number of steps is the sampler's; `noise` gives x_T and the step noise by
number. The step functions (`ddpm_step`, `ddim_step`, ...) take tensors and noise levels only, and keep the caller's
dtype and device. `SAMPLERS` lists the samplers by name.

Names are imported when they are used: this package itself needs no torch.
"""

import sys
from types import ModuleType
from typing import Any

from rediffuse.registry import load

_PUBLIC = {
    "adaptive": "AdaptiveSolution adaptive solve_adaptive",
    "ancestral": "ancestral ancestral_step ddpm_step",
    "ddim": "ddim ddim_sigma ddim_step",
    "dpm_solver_pp": "dpm_solver_pp dpm_solver_pp_1s_step dpm_solver_pp_2m_step",
    "flow": "flow_euler flow_heun flow_heun_step flow_step",
    "generate": "generate",
    "guidance": "ClassifierFreeGuidance ClassifierGuidance",
    "interfaces": "Callback DenoiserLike EvaluationCounter NoiseSource over",
    "partial": "StartFrom renoise sample_from",
    "plms": "multistep_eps plms",
    "probability_flow": "euler heun heun_step probability_flow_step",
    "registry": "SAMPLERS SamplerSpec check_request get_sampler",
    "restoration": "denoise denoise_by_sampling downsample inpaint null_space_sample psnr super_resolve upsample",
    "reverse_sde": "euler_maruyama_step reverse_sde",
    "trajectory": "Trajectory evenly",
    "variations": "BlendedNoise variations",
}
_HOMES = {name: module for module, names in _PUBLIC.items() for name in names.split()}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return load(f"{__name__}.{_HOMES[name]}:{name}")


class _Package(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        # Importing the module `ddim` would hide the function `ddim` that this package offers: keep the function.
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
