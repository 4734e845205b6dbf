"""How a study samples: the keys of a sampler, the options of each kind among them, and the settings that they make.

The options stand in the registry of samplers (`SamplerSpec.options`): here they become keys, in no further place.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, create_model, model_serializer, model_validator

from rediffuse.errors import shown
from rediffuse.options import NotNegative, Options
from rediffuse.samplers.registry import SAMPLERS, SamplerSpec

Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60, description="lower-case letters, digits and hyphens"),
]
SamplerName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=80, description="lower-case letters, digits, hyphens and dots"),
]
#: Sampling steps: of a T of at most a million.
Steps = Annotated[int, Field(gt=0, le=10**6)]
Images = Annotated[int, Field(gt=0, le=10**8)]
#: Images at once.
Batch = Annotated[int, Field(gt=0, le=10**7)]
#: How finely a setting works: a number of steps, or an option's value as text ("tol0.01").
Pace: TypeAlias = int | str
#: (setting `<sampler>-<pace>`, sampler key, pace).
Setting: TypeAlias = tuple[str, str, Pace]


class SamplerKeys(Options):
    """One way of sampling, at one or several step counts. Of the options of single samplers, those of its own kind."""

    kind: str | None = Field(None, description="sampler of the registry; the entry's own name when absent")
    steps: tuple[Steps, ...] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="numbers of sampling steps; required but where the sampler chooses its own",
    )
    variance: Literal["fixed-small", "fixed-large"] | None = Field(
        None, description="reverse variance used instead of the one of training"
    )
    spacing: Literal["uniform", "quadratic"] = Field(
        "uniform",
        description="how the kept time steps are spread; quadratic names small ones twice, which are taken once",
    )
    guidance: NotNegative | None = Field(
        None,
        le=1e4,
        description="classifier-free guidance of a class-conditional network: 0 ignores the class, 1 is the network as "
        "trained, more exaggerates the class (the paper's w is this less 1)",
    )
    classifier_scale: NotNegative | None = Field(
        None,
        le=1e4,
        description="classifier guidance by the run's classifier (`classifier`): factor of its gradient, 0 asks for "
        "classes without steering towards them",
    )
    initial_temperature: NotNegative = Field(1.0, le=1000, description="standard deviation of x_T")
    step_temperature: NotNegative = Field(1.0, le=1000, description="factor of the noise of the steps")
    variations: Annotated[float, Field(gt=0.0, le=1.0)] | None = Field(
        None,
        description="make every image a variation of image 0: share s of noise of its own in √(1−s²) of image 0's "
        "and s of its own, in x_T and in the steps",
    )

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        for name in PACES & values.keys():
            given = values[name]
            if isinstance(given, list) and given:
                values = {**values, name: tuple(given)}  # what was looked at here no longer counts as JSON
            elif given is not None and not isinstance(given, tuple):
                named = re.fullmatch(r"ddim(\d{1,6})", given) if isinstance(given, str) else None
                use = f"be a list of at least 1 number, such as [{5 if name == 'steps' else 0.01}]"
                hint = f"; for IDDPM's {given} write kind: ddim, steps: [{named[1]}]" if named else ""
                raise ValueError(f"{name}: {shown(given)} is not allowed; it should {use}{hint}")
        return values

    @model_validator(mode="after")
    def _distinct(self) -> "SamplerKeys":
        for name in PACES:
            values = getattr(self, name)
            if values is not None and len(set(values)) != len(values):
                raise ValueError(f"{name}: {shown(list(values))} names a number twice; use each once")
        return self

    @model_serializer(mode="wrap")
    def _without_absent_options(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A new option of some sampler must not change what is said of the others.
        return {k: v for k, v in handler(self).items() if v is not None or k in SamplerKeys.model_fields}

    @property
    def options(self) -> dict[str, Any]:
        """The options of its kind that are set; one that paces it is the tuple of its values."""
        return {name: v for name in OPTIONS if (v := getattr(self, name)) is not None}


def _options() -> dict[str, Any]:
    """A field for each option of a sampler in the registry; one that paces a sampler is a list, as `steps` is."""
    found: dict[str, tuple[Any, str]] = {}
    for kind, spec in SAMPLERS.items():
        for name, option in spec.options.items():
            if name in SamplerKeys.model_fields:
                raise ValueError(f"sampler {kind}: {name!r} is a key of every sampler; call the option something else")
            one = (
                tuple[option.annotation, ...]  # type: ignore[name-defined]
                if name == spec.paced_by
                else option.annotation
            )
            known, meanings = found.get(name, (None, ""))
            found[name] = (
                one if known is None else known | one,
                f"{meanings}{'; ' * bool(meanings)}{kind}: {option.meaning}",
            )
    return {name: (kind | None, Field(None, description=meaning)) for name, (kind, meaning) in found.items()}


OPTIONS = _options()
PACES = {spec.paced_by for spec in SAMPLERS.values()}

if TYPE_CHECKING:

    class Sampler(SamplerKeys):
        """One way of sampling."""

        eta: float | None = None
else:
    Sampler = create_model("Sampler", __base__=SamplerKeys, __doc__=SamplerKeys.__doc__, **OPTIONS)


class Sampling(Options):
    """How many images are sampled and how."""

    images: Images = Field(1080, description="images of each setting")
    images_of: dict[str, Images] = Field(
        {},
        max_length=1000,
        description="images of single settings, named as claims name them (ddim-10: 2400), where "
        "more cost less than they tell; scored in as many groups as they fill, "
        "of which the first are those that fewer images make",
    )
    batch_size: Batch = Field(1080, description="images sampled at once")
    clip: bool = Field(True, description="clip the predicted x0 to [-1, 1] and re-derive ε")
    samplers: dict[SamplerName, Sampler] = Field(
        {"ancestral": Sampler(steps=(50,)), "ddim": Sampler(steps=(50,))},
        min_length=1,
        max_length=100,
        description="the ways of sampling, by a name of one's own",
    )

    @model_validator(mode="after")
    def _options_of_its_kind(self) -> "Sampling":
        for key, sampler in self.samplers.items():
            if (spec := SAMPLERS.get(sampler.kind or key)) is not None:  # an unknown one is named with those that fit
                _check_options(f"samplers.{key}", spec, sampler)
        return self

    @model_serializer(mode="wrap")
    def _without_absent_numbers(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Nothing is said where all settings have the one number.
        return {k: v for k, v in handler(self).items() if v or k != "images_of"}

    def settings(self) -> list[Setting]:
        """Everything that is sampled."""
        return [
            (f"{key}-{pace}", key, pace) for key, sampler in self.samplers.items() for pace, _ in paces(key, sampler)
        ]


def _check_options(where: str, spec: SamplerSpec, sampler: Sampler) -> None:
    for name in sampler.options:
        if name not in spec.options:
            kinds = [kind for kind, other in SAMPLERS.items() if name in other.options]
            raise ValueError(f"{where}.{name}: {spec.name} has none; leave it out, or use kind: {' or '.join(kinds)}")
    if getattr(sampler, spec.paced_by) is None:
        raise ValueError(f"{where}.{spec.paced_by}: is missing; give it")
    if spec.paced_by != "steps" and sampler.steps is not None:
        raise ValueError(f"{where}.steps: {spec.name} chooses its steps by its {spec.paced_by}; leave it out")


def draws_noise(key: str, sampler: Sampler) -> bool:
    """Whether its steps draw noise: what it makes does not follow from x_T alone."""
    spec = SAMPLERS[sampler.kind or key]
    return spec.stochastic and (spec.name != "ddim" or bool(sampler.options.get("eta")))


def paces(key: str, sampler: Sampler) -> Iterator[tuple[Pace, dict[str, Any]]]:
    """Each pace of a sampler, with the options that its function is called with at it."""
    options, by = sampler.options, SAMPLERS[sampler.kind or key].paced_by
    for value in getattr(sampler, by):
        yield (value, options) if by == "steps" else (f"tol{value:.15g}", {**options, by: value})
