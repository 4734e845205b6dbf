"""The diffusion process: schedules, closed forms, objectives, likelihood and counted randomness.

Everything takes plain tensors and keeps their dtype and device. t counts from 0 to T−1, ᾱ before the first step is 1,
images are N×C×H×W in [−1, 1], and likelihoods are in bits per dimension.
"""

from rediffuse.diffusion.analytic import (
    GaussianMixture,
    MixtureModel,
    MixtureVelocity,
    WithStandardError,
    random_mixture,
)
from rediffuse.diffusion.denoiser import (
    LEARNED_VARIANCES,
    VARIANCES,
    Denoised,
    Denoiser,
    Model,
    reverse_gaussian,
    reverse_variance,
    split_output,
)
from rediffuse.diffusion.gaussian import (
    DECODERS,
    decoder_log_likelihood,
    discretized_gaussian_log_likelihood,
    normal_kl,
)
from rediffuse.diffusion.interpolant import (
    InterpolantObjective,
    VelocityField,
    draw_times,
    interpolant_losses,
    interpolate,
)
from rediffuse.diffusion.likelihood import (
    BitsPerDim,
    BoundTerms,
    bits_per_dim,
    bound_terms,
    over_images,
    prior_bits_per_dim,
)
from rediffuse.diffusion.objectives import (
    LOSSES,
    WEIGHTINGS,
    Losses,
    Objective,
    bound_term,
    importance_weight,
    loss_weight,
    training_losses,
)
from rediffuse.diffusion.pixels import to_uint8, to_unit_range
from rediffuse.diffusion.predictions import PREDICTIONS, QUANTITIES, convert, to_x0_and_eps, velocity
from rediffuse.diffusion.process import DiffusionProcess, Gaussian, Time
from rediffuse.diffusion.randomness import SampleNoise, counted_normal, counted_normals, derive_seed, generator
from rediffuse.diffusion.schedules import SCHEDULES, make_betas, respaced_timesteps
from rediffuse.diffusion.timesteps import (
    TIMESTEP_SAMPLERS,
    LossSecondMoment,
    TimestepSampler,
    UniformTimesteps,
    make_timestep_sampler,
)

__all__ = [
    "DECODERS",
    "LEARNED_VARIANCES",
    "LOSSES",
    "PREDICTIONS",
    "QUANTITIES",
    "SCHEDULES",
    "TIMESTEP_SAMPLERS",
    "VARIANCES",
    "WEIGHTINGS",
    "BitsPerDim",
    "BoundTerms",
    "Denoised",
    "Denoiser",
    "DiffusionProcess",
    "Gaussian",
    "GaussianMixture",
    "InterpolantObjective",
    "LossSecondMoment",
    "Losses",
    "MixtureModel",
    "MixtureVelocity",
    "Model",
    "Objective",
    "SampleNoise",
    "Time",
    "TimestepSampler",
    "UniformTimesteps",
    "VelocityField",
    "WithStandardError",
    "bits_per_dim",
    "bound_term",
    "bound_terms",
    "convert",
    "counted_normal",
    "counted_normals",
    "decoder_log_likelihood",
    "derive_seed",
    "discretized_gaussian_log_likelihood",
    "draw_times",
    "generator",
    "importance_weight",
    "interpolant_losses",
    "interpolate",
    "loss_weight",
    "make_betas",
    "make_timestep_sampler",
    "normal_kl",
    "over_images",
    "prior_bits_per_dim",
    "random_mixture",
    "respaced_timesteps",
    "reverse_gaussian",
    "reverse_variance",
    "split_output",
    "to_uint8",
    "to_unit_range",
    "to_x0_and_eps",
    "training_losses",
    "velocity",
]
