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

from rediffuse.errors import UserError
from rediffuse.registry import Registry, load


def one_a_step(steps: int) -> int:
    """Network evaluations of a method that asks once a step."""
    return steps


def twice_but_last(steps: int) -> int:
    """Those of Heun's method: two a step, one in the last."""
    return 2 * steps - 1


def one_more(steps: int) -> int:
    """Those of a multistep method that begins with Heun's."""
    return steps + (steps > 1)


def unknown(steps: int) -> None:
    """The method decides."""
    return None


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler and its facts.

    code: of `run`, as "module:function".
    evaluations: steps -> network evaluations; None where the method decides (`solve_adaptive` and `EvaluationCounter`
    count).
    options: the keyword arguments of `run` beside `callback`.
    path: "diffusion", sampled from a denoiser; or "interpolant", sampled from a `VelocityField` with `steps` as an
    option.
    stochastic: whether it draws noise in its steps (DDIM does when eta > 0); the others depend on x_T alone.
    uses_variance: whether the reverse variance of the model matters.
    order: order of convergence in the number of steps (weak order for the stochastic ones).
    source: the paper.
    title: its name as people write it.
    studied: whether a study may name it.
    """

    name: str
    code: str
    evaluations: Callable[[int], int | None] = one_a_step
    options: tuple[str, ...] = ()
    path: str = "diffusion"
    order: int = 1
    stochastic: bool = False
    uses_variance: bool = False
    source: str = ""
    title: str = ""
    studied: bool = True

    @property
    def run(self) -> Callable[..., Any]:
        """(denoiser, noise, *, callback=None, options ...) -> x0 [B, C, H, W]."""
        return load(self.code)

    def nfe(self, steps: int) -> int | None:
        """Network evaluations of `steps` steps, or None where the method decides."""
        return self.evaluations(steps)


SAMPLERS: Registry[SamplerSpec] = Registry(
    "sampler",
    SamplerSpec(
        "ancestral",
        "rediffuse.samplers.ancestral:ancestral",
        stochastic=True,
        uses_variance=True,
        source="Ho et al. 2020",
        title="Ancestral",
    ),
    SamplerSpec(
        "ddim",
        "rediffuse.samplers.ddim:ddim",
        one_a_step,
        ("eta",),
        stochastic=True,
        source="Song, Meng & Ermon 2021",
        title="DDIM",
    ),
    SamplerSpec(
        "dpm-solver-pp",
        "rediffuse.samplers.dpm_solver_pp:dpm_solver_pp",
        one_a_step,
        ("order",),
        order=2,
        source="Lu et al. 2022",
        title="DPM-Solver++ 2M",
    ),
    SamplerSpec("plms", "rediffuse.samplers.plms:plms", one_more, order=2, source="Liu et al. 2022", title="PLMS"),
    SamplerSpec(
        "ode-euler", "rediffuse.samplers.probability_flow:euler", source="Song et al. 2021", title="ODE, Euler"
    ),
    SamplerSpec(
        "ode-heun",
        "rediffuse.samplers.probability_flow:heun",
        twice_but_last,
        order=2,
        source="Karras et al. 2022",
        title="ODE, Heun",
    ),
    SamplerSpec(
        "ode-adaptive",
        "rediffuse.samplers.adaptive:adaptive",
        unknown,
        ("tolerance", "fractional"),
        order=3,
        source="Song et al. 2021",
        title="ODE, adaptive",
        studied=False,
    ),
    SamplerSpec(
        "reverse-sde",
        "rediffuse.samplers.reverse_sde:reverse_sde",
        stochastic=True,
        source="Song et al. 2021",
        title="Reverse SDE",
    ),
    SamplerSpec(
        "flow-euler",
        "rediffuse.samplers.flow:flow_euler",
        one_a_step,
        ("steps",),
        "interpolant",
        source="Liu et al. 2023",
        title="Straight path, Euler",
    ),
    SamplerSpec(
        "flow-heun",
        "rediffuse.samplers.flow:flow_heun",
        twice_but_last,
        ("steps",),
        "interpolant",
        order=2,
        source="Liu et al. 2023",
        title="Straight path, Heun",
    ),
)


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
        load("rediffuse.samplers.levels:check_eta")(options["eta"])
    return spec
