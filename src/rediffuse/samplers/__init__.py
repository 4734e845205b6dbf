"""Samplers: plain functions over a denoiser, one file each, and what wraps or feeds them.

A sampler is called as `sampler(denoiser, noise, callback=None, ...)` and returns x0, [B, C, H, W]: `denoiser` knows the
model and the (respaced) process, whose number of steps is the sampler's; `noise` gives x_T and the step noise by
number. The step functions (`ddpm_step`, `ddim_step`, ...) take tensors and noise levels only, and keep the caller's
dtype and device. `SAMPLERS` lists the samplers by name.
"""
