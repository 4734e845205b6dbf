"""The samplers by name, with what each takes and costs: looking one up imports no torch.

    process = DiffusionProcess.create("cosine", 1000).respace(respaced_timesteps(1000, 50))
    noise = SampleNoise(seed, torch.arange(64), (3, 32, 32))
    x0 = SAMPLERS["ddim"].run(Denoiser(model, process), noise, eta=0.0)

Every `run` is called as run(denoiser, noise, callback=None, **options) with options among `SamplerSpec.options`; the
number of steps is that of the denoiser's process. The two flows take a `VelocityField` in the denoiser's place, and
`steps` as well. `check_request` says in one line what is wrong with a request before any work. A study may set every
option that is declared here.
"""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from rediffuse.errors import UserError
from rediffuse.registry import Registry, load

if TYPE_CHECKING:
    from torch import Tensor


class Option(NamedTuple):
    """A keyword argument of a sampler that a study may set: its type, what it means, the least and the most it may be.

    Its default is that of the sampler's function.
    """

    type: Any
    meaning: str
    least: float | None = None
    most: float | None = None

    @property
    def annotation(self) -> Any:
        """Type and range as pydantic checks them."""
        from pydantic import Field

        return Annotated[self.type, Field(ge=self.least, le=self.most)] if self.least is not None else self.type


def one_a_step(steps: int) -> int:
    """Network evaluations of a method that asks once a step."""
    return steps


def two_but_last(steps: int) -> int:
    """Network evaluations of a method that asks twice a step, once in the last."""
    return 2 * steps - 1


def one_more(steps: int) -> int:
    """Network evaluations of a method whose first step asks twice, unless it is the only one."""
    return steps + (steps > 1)


@dataclass(frozen=True)
class SamplerSpec:
    """A sampler and its facts.

    reference: "module:function" of `run`.
    evaluations: steps -> network evaluations; None where the method decides (`EvaluationCounter` counts).
    path: "diffusion", sampled from a denoiser; or "interpolant", sampled from a `VelocityField` with `steps` as an
    argument.
    uses_variance: whether the reverse variance of the model matters.
    title: its name in a sentence. source: the paper.
    order: order of convergence in the number of steps (weak order for the stochastic ones).
    stochastic: whether it draws noise in its steps (DDIM does when eta > 0); the others depend on x_T alone.
    options: the keyword arguments of `run` beside `callback`, by name.
    paced_by: what decides how finely it works: "steps", or one of its options where it chooses its steps itself.
    """

    name: str
    reference: str
    evaluations: Callable[[int], int] | None = one_a_step
    path: str = "diffusion"
    uses_variance: bool = False
    _: KW_ONLY
    title: str
    source: str
    order: int
    stochastic: bool = False
    options: Mapping[str, Option] = field(default_factory=dict)
    paced_by: str = "steps"

    @property
    def run(self) -> "Callable[..., Tensor]":
        """(denoiser, noise, *, callback=None, options ...) -> x0 [B, C, H, W]; imported when it is asked for."""
        return load(self.reference)

    def nfe(self, steps: int) -> int | None:
        """Network evaluations of `steps` steps, or None where the method decides."""
        return None if self.evaluations is None else self.evaluations(steps)


SAMPLERS = Registry(
    "sampler",
    SamplerSpec(
        "ancestral",
        "rediffuse.samplers.ancestral:ancestral",
        one_a_step,
        "diffusion",
        True,
        title="Ancestral",
        source="Ho et al. 2020",
        order=1,
        stochastic=True,
    ),
    SamplerSpec(
        "ddim",
        "rediffuse.samplers.ddim:ddim",
        title="DDIM",
        source="Song, Meng & Ermon 2021",
        order=1,
        stochastic=True,
        options={"eta": Option(float, "stochasticity: 0 deterministic, 1 ancestral with β̃; 0 when absent", 0, 1)},
    ),
    SamplerSpec(
        "dpm-solver-pp",
        "rediffuse.samplers.dpm_solver_pp:dpm_solver_pp",
        title="DPM-Solver++ 2M",
        source="Lu et al. 2022",
        order=2,
        options={
            "order": Option(Literal[1, 2], "1 takes first-order steps (1S), 2 multistep ones (2M); 2 when absent")
        },
    ),
    SamplerSpec("plms", "rediffuse.samplers.plms:plms", one_more, title="PLMS", source="Liu et al. 2022", order=2),
    SamplerSpec(
        "ode-euler",
        "rediffuse.samplers.probability_flow:euler",
        title="Probability-flow ODE, Euler",
        source="Song et al. 2021",
        order=1,
    ),
    SamplerSpec(
        "ode-heun",
        "rediffuse.samplers.probability_flow:heun",
        two_but_last,
        title="Probability-flow ODE, Heun",
        source="Karras et al. 2022",
        order=2,
    ),
    SamplerSpec(
        "ode-adaptive",
        "rediffuse.samplers.adaptive:adaptive",
        None,
        title="Probability-flow ODE, adaptive",
        source="Song et al. 2021",
        order=3,
        options={
            "tolerance": Option(float, "error allowed in a step, by which it is chosen", 1e-6, 1),
            "fractional": Option(
                bool,
                "whether the network is asked between its own time steps; true when absent, which a network that "
                "predicts μ cannot do",
            ),
        },
        paced_by="tolerance",
    ),
    SamplerSpec(
        "reverse-sde",
        "rediffuse.samplers.reverse_sde:reverse_sde",
        title="Reverse SDE, Euler-Maruyama",
        source="Song et al. 2021",
        order=1,
        stochastic=True,
    ),
    SamplerSpec(
        "flow-euler",
        "rediffuse.samplers.flow:flow_euler",
        one_a_step,
        "interpolant",
        title="Flow, Euler",
        source="Liu et al. 2023",
        order=1,
    ),
    SamplerSpec(
        "flow-heun",
        "rediffuse.samplers.flow:flow_heun",
        two_but_last,
        "interpolant",
        title="Flow, Heun",
        source="Liu et al. 2023",
        order=2,
    ),
)


def get_sampler(name: str) -> SamplerSpec:
    """The sampler of that name. Raises `UserError` that lists the names."""
    return SAMPLERS.find(name)


def check_request(name: str, *, steps: int, timesteps: int, options: Mapping[str, Any] | None = None) -> SamplerSpec:
    """The sampler, if it can do `steps` of a model's `timesteps` with these options.

    `timesteps` is T of the trained model; a flow has continuous time and any number of steps. Raises `UserError` for an
    unknown name, an option the sampler does not take or that is out of its range, or a number of steps outside 1 ..
    timesteps.
    """
    from pydantic import TypeAdapter, ValidationError

    from rediffuse.options import in_words

    spec = get_sampler(name)
    if spec.path == "diffusion" and not 1 <= steps <= timesteps:
        raise UserError(
            f"{steps} sampling steps are not possible: the model was trained with {timesteps}, so 1 to {timesteps}"
        )
    for option, value in (options or {}).items():
        if option not in spec.options:
            takes = f"takes {', '.join(spec.options)}" if spec.options else "takes no options"
            raise UserError(f"sampler {name} has no option {option!r}: it {takes}")
        try:
            TypeAdapter(spec.options[option].annotation | None).validate_python(value)
        except ValidationError as error:
            message = in_words(error.errors()[0]["msg"])
            raise UserError(f"{option} = {value!r} is not possible for sampler {name}: {message}") from None
    return spec
