"""The samplers by name, with what each takes and costs.

    process = DiffusionProcess.create("cosine", 1000).respace(respaced_timesteps(1000, 50))
    noise = SampleNoise(seed, torch.arange(64), (3, 32, 32))
    x0 = SAMPLERS["ddim"].run(Denoiser(model, process), noise, eta=0.0)

Every `run` is called as run(denoiser, noise, callback=None, **options) with options among `SamplerSpec.options`; the
number of steps is that of the denoiser's process. The two flows take a `VelocityField` in the denoiser's place, and
`steps` as an option. `check_request` says in one line what is wrong with a request before any work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.samplers.adaptive import adaptive
from rediffuse.samplers.ancestral import ancestral
from rediffuse.samplers.ddim import ddim
from rediffuse.samplers.dpm_solver_pp import dpm_solver_pp
from rediffuse.samplers.flow import flow_euler, flow_heun
from rediffuse.samplers.levels import check_eta
from rediffuse.samplers.plms import plms
from rediffuse.samplers.probability_flow import euler, heun
from rediffuse.samplers.reverse_sde import reverse_sde


def _one_a_step(steps: int) -> int:
    return steps


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler and its facts.

    run: (denoiser, noise, *, callback=None, options ...) -> x0 [B, C, H, W].
    stochastic: whether it draws noise in its steps (DDIM does when eta > 0); the others depend on x_T alone.
    options: the keyword arguments of `run` beside `callback`.
    uses_variance: whether the reverse variance of the model matters.
    order: order of convergence in the number of steps (weak order for the stochastic ones).
    evaluations: steps -> network evaluations; None where the method decides (`solve_adaptive` and `EvaluationCounter`
    count).
    source: the paper.
    path: "diffusion", sampled from a denoiser; or "interpolant", sampled from a `VelocityField` with `steps` as an
    option.
    """

    name: str
    run: Callable[..., Tensor]
    source: str
    order: int
    stochastic: bool = False
    options: tuple[str, ...] = ()
    uses_variance: bool = False
    evaluations: Callable[[int], int] | None = _one_a_step
    path: str = "diffusion"

    def nfe(self, steps: int) -> int | None:
        """Network evaluations of `steps` steps, or None where the method decides."""
        return None if self.evaluations is None else self.evaluations(steps)


_SPECS = (
    SamplerSpec("ancestral", ancestral, "Ho et al. 2020", 1, stochastic=True, uses_variance=True),
    SamplerSpec("ddim", ddim, "Song, Meng & Ermon 2021", 1, stochastic=True, options=("eta",)),
    SamplerSpec("dpm-solver-pp", dpm_solver_pp, "Lu et al. 2022", 2, options=("order",)),
    SamplerSpec("plms", plms, "Liu et al. 2022", 2, evaluations=lambda steps: steps + (steps > 1)),
    SamplerSpec("ode-euler", euler, "Song et al. 2021", 1),
    SamplerSpec("ode-heun", heun, "Karras et al. 2022", 2, evaluations=lambda steps: 2 * steps - 1),
    SamplerSpec("ode-adaptive", adaptive, "Song et al. 2021", 3, options=("tolerance", "fractional"), evaluations=None),
    SamplerSpec("reverse-sde", reverse_sde, "Song et al. 2021", 1, stochastic=True),
    SamplerSpec("flow-euler", flow_euler, "Liu et al. 2023", 1, options=("steps",), path="interpolant"),
    SamplerSpec(
        "flow-heun",
        flow_heun,
        "Liu et al. 2023",
        2,
        options=("steps",),
        path="interpolant",
        evaluations=lambda steps: 2 * steps - 1,
    ),
)
SAMPLERS: dict[str, SamplerSpec] = {spec.name: spec for spec in _SPECS}


def get_sampler(name: str) -> SamplerSpec:
    """The sampler of that name. Raises `UserError` that lists the names."""
    if name not in SAMPLERS:
        raise UserError(f"sampler {name!r} is unknown: one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]


def check_request(name: str, *, steps: int, timesteps: int, options: Mapping[str, Any] | None = None) -> SamplerSpec:
    """The sampler, if it can do `steps` of a model's `timesteps` with these options.

    `timesteps` is T of the trained model; a flow has continuous time and any number of steps. Raises `UserError` for an
    unknown name, an option the sampler does not take, eta outside [0, 1], or a number of steps outside 1 .. timesteps.
    """
    spec = get_sampler(name)
    if spec.path == "diffusion" and not 1 <= steps <= timesteps:
        raise UserError(
            f"{steps} sampling steps are not possible: the model was trained with {timesteps}, so 1 to {timesteps}"
        )
    for option in options or {}:
        if option not in spec.options:
            takes = f"takes {', '.join(spec.options)}" if spec.options else "takes no options"
            raise UserError(f"sampler {name} has no option {option!r}: it {takes}")
    if options and options.get("eta") is not None:
        check_eta(options["eta"])
    return spec
