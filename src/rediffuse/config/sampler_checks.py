"""What the samplers of a run must satisfy that they cannot see alone: its network, its process."""

from rediffuse.config.sampling import Sampler, draws_noise
from rediffuse.config.study import ResolvedRun
from rediffuse.config.trained import Diffusion
from rediffuse.errors import shown
from rediffuse.samplers.registry import SAMPLERS, SamplerSpec


def check_samplers(run: ResolvedRun, diffusion: Diffusion) -> None:
    """Raise ValueError (`sampling.samplers.<key>.<option>: message`) for the first that does not fit the run."""
    flow = diffusion.prediction == "velocity"
    fitting = [name for name, spec in SAMPLERS.items() if (spec.path == "interpolant") == flow]
    for key, sampler in run.sampling.samplers.items():
        where, kind = f"sampling.samplers.{key}", sampler.kind or key
        if kind not in SAMPLERS:
            raise ValueError(f"{where}.kind: {shown(kind)} is not a sampler; use one of {', '.join(fitting)}")
        if kind not in fitting:
            raise ValueError(
                f"{where}.kind: {kind} does not sample a network that predicts {diffusion.prediction}; "
                f"use one of {', '.join(fitting)}"
            )
        if (most := max(sampler.steps or (0,))) > diffusion.timesteps:
            raise ValueError(
                f"{where}.steps: {most} exceeds the {diffusion.timesteps} diffusion time steps; "
                f"use at most {diffusion.timesteps}"
            )
        _check_effect(where, SAMPLERS[kind], sampler)
        if kind == "ode-adaptive" and diffusion.prediction == "mu" and sampler.options.get("fractional", True):
            raise ValueError(
                f"{where}.fractional: a network that predicts mu cannot be asked between its steps; use false"
            )


def _check_effect(where: str, spec: SamplerSpec, sampler: Sampler) -> None:
    """A key without effect would be a false label of what was made."""
    if sampler.variance is not None and not spec.uses_variance:
        raise ValueError(f"{where}.variance: {spec.name} takes no variance; leave it out, or use kind: ancestral")
    if sampler.spacing != "uniform" and (spec.path == "interpolant" or spec.paced_by != "steps"):
        raise ValueError(f"{where}.spacing: {spec.name} keeps none of the network's time steps; leave it out")
    if sampler.step_temperature != 1 and not draws_noise(spec.name, sampler):
        how = f"{spec.name} with eta 0" if spec.name == "ddim" else spec.name
        raise ValueError(f"{where}.step_temperature: {how} draws no noise in its steps; leave it out")
