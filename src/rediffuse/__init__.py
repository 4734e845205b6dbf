"""Reproduce denoising-diffusion studies end to end: data, training, sampling, evaluation, report."""

__version__ = "0.1.0"
