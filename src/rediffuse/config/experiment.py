"""An experiment as a study says it: a question, what is varied, how it is shown, and the claims it puts to the test."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from rediffuse.config.sampling import Name, Sampler, SamplerName
from rediffuse.config.sections import Section
from rediffuse.options import Label, PositiveFloat, PositiveInt, Words

Seed = Annotated[int, Field(ge=0, lt=2**63)]
#: The questions that a report asks, in its order, by the key an experiment names.
CHAPTERS = {
    "reproduce": "Does it reproduce?",
    "improved": "What does Improved DDPM buy?",
    "speed": "What does speed cost?",
    "parts": "What does each part do?",
    "trust": "Can the numbers be trusted?",
    "documents": "What did the documents get wrong?",
}
#: The forms of a claim: the keys that it must have, and those that it may have.
FORMS = {
    "pair": (("better", "worse"), ("margin", "times")),
    "below": (("cell", "below"), ()),
    "above": (("cell", "above"), ()),
    "trend": (("cells", "trend"), ("within", "at")),
    "same": (("same", "within"), ()),
    "as_good": (("as_good", "within"), ()),
    "loss": (("run", "loss_below", "before"), ()),
}


def _one_value(given: Any, taken: ValidatorFunctionWrapHandler) -> Any:
    try:
        return taken(tuple(given) if isinstance(given, list) else given)
    except ValidationError:
        raise PydanticCustomError("axis", "it should be a number, a word, true or false, or a list of them") from None


#: A value at which a key is tried.
AxisValue = Annotated[
    bool | int | float | str | tuple[bool | int | float | str, ...],
    WrapValidator(_one_value),
]


class Claim(Section):
    """A sentence of a paper, put to the test. A cell is run/sampler-steps, run/likelihood, run/trained (what the
    trained network tells by itself), run/task-method (`psnr` of restored images), or real/held-out, real/noise.

    One of: `better` against `worse`; `cell` with `below` or `above`; `cells` with `trend`; `same` or `as_good` with
    `within`; `run` with `loss_below` and `before`.
    """

    claim: Words = Field(..., max_length=300, description="what the paper says")
    source: Words = Field(..., max_length=300, description="where it says so")
    metric: str = Field("frechet_distance", description="what is compared")
    better: str | None = Field(None, description="cell expected to win against `worse`")
    worse: str | None = Field(None, description="cell expected to lose")
    margin: PositiveFloat | None = Field(None, description="how far apart they must be, in the metric's unit")
    times: PositiveFloat | None = Field(None, ge=1, description="how many times the smaller value the larger must be")
    cell: str | None = Field(None, description="cell to hold against a number")
    below: float | None = Field(None, description="number that its value lies below")
    above: float | None = Field(None, description="number that its value lies above")
    cells: tuple[str, ...] | None = Field(None, min_length=3, description="cells in the order of what is varied")
    trend: Literal["rising", "falling", "flat", "linear"] | None = Field(None, description="how their values go")
    at: tuple[float, ...] | None = Field(
        None, description="what `linear` is linear in; the numbers of steps when absent"
    )
    same: tuple[str, str] | None = Field(None, description="two cells that are two ways to one value")
    as_good: tuple[str, str] | None = Field(None, description="a cell, and another than which it is hardly worse")
    within: PositiveFloat | None = Field(
        None,
        description="how far `flat`, `linear` or `same` may be off, and how much worse `as_good` may be, in per cent",
    )
    run: str | None = Field(None, description="run whose training loss is meant")
    loss_below: PositiveFloat | None = Field(
        None, description="what its loss, averaged over `log_every` steps, falls to"
    )
    before: PositiveInt | None = Field(None, description="training step before which it does")

    @model_validator(mode="after")
    def _one_form(self) -> "Claim":
        given = {key for form in FORMS.values() for keys in form for key in keys if getattr(self, key) is not None}
        fits = [n for n, (must, may) in FORMS.items() if set(must) <= given <= {*must, *may}]
        if not fits:
            forms = "; ".join(" + ".join(must) for must, _ in FORMS.values())
            raise ValueError(f"a claim has one of: {forms}; this one has {', '.join(sorted(given)) or 'none of them'}")
        if fits == ["trend"]:
            self._check_trend()
        if len(named := self.named()) != len(set(named)):
            raise ValueError("a claim compares a cell with itself; name another")
        return self

    def _check_trend(self) -> None:
        assert self.cells is not None
        if (self.trend in ("flat", "linear")) != (self.within is not None):
            raise ValueError(f"trend: {self.trend} goes {'without' if self.within else 'with'} `within`")
        if self.at is not None and (self.trend != "linear" or len(self.at) != len(self.cells)):
            raise ValueError("at: goes with trend: linear, a number for each of `cells`")
        if self.trend == "linear" and len(set(self.numbers())) < len(self.cells):
            raise ValueError("at: must say what `linear` is linear in, another number for each of `cells`")

    def numbers(self) -> tuple[float, ...]:
        """What `linear` is linear in; none where nothing says."""
        steps = [cell.rpartition("-")[2] for cell in self.cells or ()]
        return self.at or tuple(float(n) for n in steps if n.isdigit())

    @property
    def form(self) -> str:
        """Which of `FORMS` it has."""
        return next(name for name, (must, _) in FORMS.items() if all(getattr(self, key) is not None for key in must))

    def places(self) -> list[tuple[str, str]]:
        """(key, cell) of the cells it names, in its order."""
        alone = [(key, cell) for key in ("better", "worse", "cell") if (cell := getattr(self, key)) is not None]
        several = ("cells", "same", "as_good")
        lists = [(f"{key}.{n}", cell) for key in several for n, cell in enumerate(getattr(self, key) or ())]
        return alone + lists

    def named(self) -> tuple[str, ...]:
        """The cells it names, in its order."""
        return tuple(cell for _, cell in self.places())


class Arm(Section):
    """One way of an experiment: what it changes of the run it starts from."""

    network: dict[str, Any] = Field({}, description="overrides of the run's network")
    diffusion: dict[str, Any] = Field({}, description="overrides of the run's diffusion")
    training: dict[str, Any] = Field({}, description="overrides of the run's training")
    hardware: dict[Literal["precision"], Literal["float32", "bfloat16"]] = Field(
        {}, description="`precision` that it alone is trained and sampled in"
    )
    sampling: dict[Literal["clip"], bool] = Field(
        {}, description="`clip` that it alone is sampled with, after a training of its own"
    )
    samplers: dict[SamplerName, Sampler] = Field(
        {}, max_length=100, description="how it alone is sampled; as the others when absent"
    )
    label: Label | None = Field(None, max_length=100, description="its name in tables and figures; the key when absent")


class Quote(Section):
    """A figure of the source, shown beside ours and marked as theirs."""

    what: Words = Field(..., max_length=300, description="what was measured")
    value: Words = Field(..., max_length=100, description="the figure as printed there")
    conditions: Words = Field(..., max_length=300, description="data, network, number of images, metric")
    source: Words = Field(..., max_length=300, description="where it is printed")


class Experiment(Section):
    """A question, and what is varied to answer it.

    Keys of `vary`: `steps`; `sampler` (entries of `samplers`, of the run's own, or names of samplers);
    `sampler.OPTION`; and what trains anew for each value: any key of `network`, `diffusion` or `training`, such as
    `training.batch_size`, `hardware.precision` and `sampling.clip`.
    All values are combined. What a run has already, a setting or a value however it is written, is not made twice.
    """

    question: Words = Field(..., max_length=300, description="what it is meant to answer")
    source: Words = Field("", max_length=300, description="document or paper, and place, that asks it")
    chapter: Literal["reproduce", "improved", "speed", "parts", "trust", "documents"] = Field(
        "parts", description="question of the report that it stands under"
    )
    of: tuple[Name, ...] | Name | None = Field(None, description="runs it starts from; the baseline when absent")
    vary: dict[str, tuple[AxisValue, ...]] = Field(
        {}, max_length=10, description="axes: a key and its values, each a list"
    )
    arms: dict[Name, Arm] = Field(
        {}, max_length=100, description="ways that no axis names; each is trained beside the run itself"
    )
    against: Name | None = Field(
        None, description="the arm that the other arms are held against; the run itself when absent"
    )
    samplers: dict[SamplerName, Sampler] = Field(
        {}, description="how all are sampled; `experiment_samplers` when absent and no axis names one"
    )
    seeds: tuple[Seed, ...] | None = Field(
        None, min_length=1, max_length=100, description="training seeds; the study's when absent"
    )
    metrics: tuple[str, ...] = Field(
        ("frechet_distance",),
        min_length=1,
        description="what is measured; the first three are drawn, the first alone in a heat-map",
    )
    picture: Literal["line", "dots", "heat-map", "images", "table"] = Field(
        "dots", description="how it is drawn: a line needs numbers, a heat-map two axes"
    )
    curves: bool = Field(False, description="whether the training losses are drawn too, one beside the other")
    quoted: tuple[Quote, ...] = Field((), max_length=100, description="figures of the source to stand beside")
    claims: tuple[Claim, ...] = Field((), max_length=100, description="what it puts to the test")

    def starts(self) -> tuple[str, ...]:
        """The runs it names."""
        return (self.of,) if isinstance(self.of, str) else self.of or ()
