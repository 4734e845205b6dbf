"""How an experiment samples a run: in which settings, under which names, and which of them the run has already."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rediffuse.config.experiment import Experiment
from rediffuse.config.sampling import PACES, Sampler, paces
from rediffuse.config.study import Study
from rediffuse.errors import UserError, shown
from rediffuse.samplers.registry import SAMPLERS

#: The samplers of a run, by name, as JSON has them.
Samplers = dict[str, dict[str, Any]]
#: What holds of a sampler's option where nothing is said.
UNSAID = {"eta": 0.0, "order": 2, "fractional": True}
#: No name of an entry of `samplers` is longer.
LONGEST = 80


@dataclass(frozen=True)
class Way:
    """One combination of what is trained: values of its axes, run, its diffusion, and its sampling if that is its own.

    theirs: samplers of the main run. own: those of the run itself, where it was trained for an experiment; same:
    whether it is the main run with other seeds, and is sampled as that is.
    """

    at: dict[str, Any]
    run: str
    of: str
    diffusion: dict[str, Any]
    samplers: Mapping[str, Sampler] | None
    theirs: Samplers
    own: Samplers | None = None
    same: bool = False


class Sampled:
    """The settings that an experiment asks for; asking writes them into the samplers of a run."""

    def __init__(self, study: Study, name: str, asks: Experiment, vary: Mapping[str, tuple[Any, ...]]) -> None:
        self.study, self.name, self.asks, self.vary = study, name, asks, vary
        self.options = [key for key in vary if key.startswith("sampler.")]
        #: (run, entry of its samplers) → the sampler's name here, for what was written.
        self.written: dict[tuple[str, str], str] = {}

    def wrong(self, key: str, text: str) -> UserError:
        """A mistake of the experiment."""
        return UserError(f"experiments.{self.name}.{key}: {text}")

    def settings(self, way: Way) -> Iterator[tuple[dict[str, Any], str]]:
        """(values of the axes of sampling, name of the setting), after the run was asked to make it."""
        flow, most = way.diffusion["prediction"] == "velocity", way.diffusion["timesteps"]
        for key, entry in self._entries(way):
            for options in itertools.product(*(self.vary[option] for option in self.options)):
                changed = {option.split(".", 1)[1]: value for option, value in zip(self.options, options, strict=True)}
                full = {"kind": key, **entry, **changed}
                if (spec := SAMPLERS.get(full["kind"])) is None:
                    raise self.wrong(
                        f"samplers.{key}", f"{shown(full['kind'])} is not a sampler; use one of {', '.join(SAMPLERS)}"
                    )
                if (spec.path == "interpolant") != flow:
                    continue
                by = spec.paced_by
                # The pace of another kind of sampler tells nothing of this one.
                of_others = {f"sampler.{pace}" for pace in PACES if pace != by}
                at = {
                    "sampler": key,
                    **{o: v for o, v in zip(self.options, options, strict=True) if o not in of_others},
                }
                chosen = [changed.pop(by)] if by in changed else self.vary.get(by) or entry.get(by) or ()
                full = {name: value for name, value in full.items() if name not in PACES}
                name = key + self._told_apart(way, key, entry, changed)
                if not chosen:
                    raise self.wrong("vary.steps", f"is missing, and {shown(key)} names no {by}; give it")
                for pace in chosen:
                    if by == "steps" and (not isinstance(pace, int) or isinstance(pace, bool) or not 0 < pace <= most):
                        where = "vary.steps" if by in self.vary else f"samplers.{key}.steps"
                        raise self.wrong(
                            where, f"{shown(pace)} is not allowed for {way.run}; use a number from 1 to {most}"
                        )
                    setting, text = self._ask(way, key, name, full, by, pace)
                    # What chooses its steps has none to stand at; where that is an axis, it stands there.
                    paced = {"steps": pace if by == "steps" else text} if f"sampler.{by}" not in at else {}
                    yield {**at, **paced}, setting

    def _told_apart(self, way: Way, key: str, entry: dict[str, Any], changed: dict[str, Any]) -> str:
        """What a sampler's name says of its options: those that hold anyway are left out."""
        variance = way.diffusion["variance"]
        try:
            plain = content(key, {"kind": key, **entry}, variance)
            told = {k: v for k, v in changed.items() if content(key, {"kind": key, **entry, k: v}, variance) != plain}
        except UserError:
            told = changed  # of which one is no value for its option, as is said when it is asked for
        return "".join(f"-{slug(option)}-{slug(value)}" for option, value in told.items())

    def _entries(self, way: Way) -> list[tuple[str, dict[str, Any]]]:
        """The samplers by name, before options and steps are varied."""
        said, names = self.asks.samplers, self.vary.get("sampler")
        if way.samplers:
            said, names = dict(way.samplers), None
        elif names is None:
            said = said or self.study.experiment_samplers
        named = {key: entry.model_dump(mode="json", exclude_defaults=True) for key, entry in said.items()}
        if names is None:
            if not named:
                raise self.wrong("samplers", "is missing; say how it is sampled, or vary sampler")
            return list(named.items())
        for key in named:
            if key not in names:
                raise self.wrong(f"samplers.{key}", "is not among vary.sampler; name it there, or leave it out")
        found = []
        for name in map(str, names):
            if name not in named and name not in way.theirs and name not in SAMPLERS:
                known = ", ".join({**named, **way.theirs, **SAMPLERS})
                raise self.wrong("vary.sampler", f"{shown(name)} is not a sampler; use one of {known}")
            entry = named.get(name) or way.theirs.get(name) or {}
            found.append((name, {key: value for key, value in entry.items() if value is not None}))
        return found

    def _ask(self, way: Way, key: str, name: str, entry: dict[str, Any], by: str, pace: Any) -> tuple[str, str]:
        """(name of the setting, its pace in the name), after it was written into the samplers that lack it."""
        try:
            [(text, _)] = paces(name, Sampler(**{**_told(entry), by: (pace,)}))
        except UserError as error:
            option = str(error).split(" ", 1)[0]
            varied = f"sampler.{option}" in self.options
            raise self.wrong(f"vary.sampler.{option}" if varied else f"samplers.{key}", str(error)) from None
        where = way.theirs if way.own is None or way.same else way.own
        entered = self._enter(way.of if where is way.theirs else way.run, where, key, name, entry, by, pace, way)
        if way.same and way.own is not None:
            # Under the name that it has in the main run, whose values belong to it.
            same = {**where[entered], "kind": where[entered].get("kind") or entered}
            before = way.own.get(entered, {}).get(by) or []
            way.own[entered] = {**same, by: [*before, *([] if pace in before else [pace])]}
        return f"{entered}-{text}", str(text)

    def _enter(
        self,
        run: str,
        samplers: Samplers,
        key: str,
        name: str,
        entry: dict[str, Any],
        by: str,
        pace: Any,
        way: Way,
    ) -> str:
        """The entry of these samplers that does so, at this pace too."""
        wanted = content(name, entry, way.diffusion["variance"])
        for own, known in samplers.items():
            if content(own, known, way.diffusion["variance"]) == wanted:
                if pace not in (known.get(by) or ()):
                    samplers[own] = {**known, by: [*(known.get(by) or ()), pace]}
                return own
        more = itertools.chain((name, f"{name}-{self.name}"), (f"{name}-{self.name}-{n}" for n in itertools.count(2)))
        name = next(one for one in more if one not in samplers)
        if len(name) > LONGEST:
            raise self.wrong(
                f"samplers.{key}", f"makes {shown(name)}, of more than {LONGEST} letters; call it something shorter"
            )
        samplers[name] = {**entry, by: [pace]}
        self.written[run, name] = key
        return name


def content(key: str, entry: Mapping[str, Any], variance: str) -> str:
    """What a sampler's entry does in a run with this variance, whatever it is called and however finely it works."""
    kind = entry.get("kind") or key
    made = Sampler(**{**{name: v for name, v in _told(entry).items() if name not in PACES}, "kind": kind})
    if (spec := SAMPLERS.get(kind)) is None:
        return made.model_dump_json()
    # What is not said is the same as saying what then holds.
    unsaid: dict[str, Any] = {
        name: UNSAID[name] for name in spec.options if name in UNSAID and made.options.get(name) is None
    }
    unsaid["guidance"] = 1.0 if made.guidance is None else made.guidance
    if spec.uses_variance:
        unsaid["variance"] = made.variance or variance
    return json.dumps(made.model_dump(mode="json") | unsaid, sort_keys=True)


def settings_of(samplers: Mapping[str, Any]) -> list[str]:
    """The names of all settings of these samplers."""
    known = {k: Sampler(**_told(entry)) for k, entry in samplers.items() if (entry.get("kind") or k) in SAMPLERS}
    return [f"{key}-{pace}" for key, sampler in known.items() for pace, _ in paces(key, sampler)]


def _told(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a sampler, as its class takes it."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items() if v is not None}


def slug(value: Any) -> str:
    """A value as part of a name: 0.3, 1e-05, 1-2-2, fixed-small."""
    text = f"{value:.15g}" if isinstance(value, float) else json.dumps(value) if not isinstance(value, str) else value
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "none"
