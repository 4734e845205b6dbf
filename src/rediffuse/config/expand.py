"""Experiments taken apart: which runs they train, how which run is sampled for them, and which cell answers what.

Two experiments that ask for the same training, or for the same setting of a run, share it.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rediffuse.config.experiment import Experiment
from rediffuse.config.sampling import PACES, Sampler, paces
from rediffuse.config.settings import merge
from rediffuse.config.study import Study
from rediffuse.errors import UserError, shown
from rediffuse.samplers.registry import SAMPLERS

TRAINED = ("network", "diffusion", "training")
#: More cells than this are a mistake of combining, not an experiment.
MOST = 400


@dataclass(frozen=True)
class Member:
    """A cell of an experiment: the value at each axis, and where it is found."""

    at: tuple[Any, ...]
    run: str
    setting: str

    @property
    def cell(self) -> str:
        """As a claim names it."""
        return f"{self.run}/{self.setting}"


@dataclass(frozen=True)
class Planned:
    """An experiment with nothing left to combine.

    axes: what tells its members apart, as keys of `vary`, "run" or "arm". trains: whether it has runs of its own.
    """

    name: str
    asks: Experiment
    axes: tuple[str, ...]
    members: tuple[Member, ...]
    trains: bool


@dataclass
class Trained:
    """A run that experiments train: where it is asked for, what it changes of run `of`, with which seeds, how sampled."""

    name: str
    where: str
    of: str
    overrides: dict[str, dict[str, Any]]
    question: str
    label: str
    seeds: list[int]
    samplers: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class Expansion:
    """What all experiments together ask for. samplers: of the main runs, with what experiments add."""

    samplers: dict[str, dict[str, dict[str, Any]]]
    trained: dict[str, Trained] = field(default_factory=dict)
    planned: dict[str, Planned] = field(default_factory=dict)

    def added(self, run: str, before: Mapping[str, Any]) -> tuple[str, ...]:
        """Settings of a main run that only experiments ask for."""
        own, every = (_settings_of(samplers) for samplers in (before, self.samplers[run]))
        return tuple(setting for setting in every if setting not in own)


def _settings_of(samplers: Mapping[str, Any]) -> list[str]:
    known = {k: Sampler(**_told(entry)) for k, entry in samplers.items() if (entry.get("kind") or k) in SAMPLERS}
    return [f"{key}-{pace}" for key, sampler in known.items() for pace, _ in paces(key, sampler)]


def _told(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a sampler, as its class takes it."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items() if v is not None}


@dataclass(frozen=True)
class _Way:
    """One combination of what is trained: values of its axes, the run's name, its sampling if that is its own."""

    at: dict[str, Any]
    run: str
    diffusion: dict[str, Any]
    samplers: Mapping[str, Sampler] | None


def expand(study: Study, values: Mapping[str, Mapping[str, Any]]) -> Expansion:
    """All experiments of a study; `values`: the settings of each run of a U-Net, as JSON.

    Raises:
        UserError: `experiments.NAME.key: …`, without the study's path.
    """
    found = Expansion({name: json.loads(json.dumps(of["sampling"]["samplers"])) for name, of in values.items()})
    for name, asks in study.experiments.items():
        found.planned[name] = _Expanding(study, values, found, name, asks).planned()
    return found


class _Expanding:
    def __init__(
        self, study: Study, values: Mapping[str, Mapping[str, Any]], into: Expansion, name: str, asks: Experiment
    ) -> None:
        self.study, self.values, self.into, self.name, self.asks = study, values, into, name, asks
        self.trained = [key for key in asks.vary if key.split(".", 1)[0] in TRAINED]
        self.options = [key for key in asks.vary if key.startswith("sampler.")]

    def planned(self) -> Planned:
        """The experiment's members, after what they need was asked of the runs."""
        self._check()
        rows = [(way, *setting) for way in self._ways() for setting in self._settings(way)]
        if not rows:
            raise self._wrong("samplers", "none of them samples what is asked for; name another")
        found = [({**way.at, **at}, way.run, setting) for way, at, setting in rows]
        axes = [axis for axis in dict.fromkeys(key for at, _, _ in found for key in at) if self._tells(axis, found)]
        members = dict.fromkeys(Member(tuple(at.get(axis) for axis in axes), run, name) for at, run, name in found)
        return Planned(
            self.name, self.asks, tuple(axes), tuple(members), any(m.run in self.into.trained for m in members)
        )

    def _tells(self, axis: str, found: list[tuple[dict[str, Any], str, str]]) -> bool:
        return len({json.dumps(at.get(axis)) for at, _, _ in found}) > 1

    def _wrong(self, key: str, text: str) -> UserError:
        return UserError(f"experiments.{self.name}.{key}: {text}")

    def _check(self) -> None:
        diffusing = list(self.values)
        for of in self.asks.starts():
            if of not in diffusing:
                raise self._wrong("of", f"{shown(of)} is not a run of a U-Net; use one of {', '.join(diffusing)}")
        known = {*self.trained, *self.options, "steps", "sampler"}
        cells = len(self.asks.arms) + 1
        for key, axis in self.asks.vary.items():
            if key not in known or key in TRAINED or key.endswith("."):
                raise self._wrong(
                    "vary",
                    f"{shown(key)} cannot be varied; use steps, sampler, sampler.OPTION or a key of {', '.join(TRAINED)}",
                )
            if not axis or len({json.dumps(value) for value in axis}) < len(axis):
                raise self._wrong(f"vary.{key}", "lists no value, or one twice; use each once")
            cells *= len(axis)
        if cells > MOST:
            raise self._wrong("vary", f"asks for {cells} combinations; use at most {MOST}")
        if self.asks.arms and self.trained:
            raise self._wrong(
                "arms", f"goes without axes that are trained, and vary has {self.trained[0]}; use one of both"
            )

    def _ways(self) -> Iterator[_Way]:
        """What is trained, the runs themselves first."""
        baseline = next(name for name, run in self.study.runs.items() if run.role == "baseline")
        starts = self.asks.starts() or (baseline,)
        for of in starts:
            base = self.values[of]
            at = {"run": of}
            if self.asks.arms:
                yield self._way({**at, "arm": of}, of, {}, self.asks.question, of)
                for key, arm in self.asks.arms.items():
                    overrides = {name: value for name in TRAINED if (value := getattr(arm, name))}
                    name = key if len(starts) == 1 else f"{key}-{of}"
                    yield self._way(
                        {**at, "arm": key}, of, overrides, self.asks.question, name, arm.samplers, arm.label
                    )
                continue
            for chosen in itertools.product(*(self.asks.vary[key] for key in self.trained)):
                overrides = {}
                for key, value in zip(self.trained, chosen, strict=True):
                    if _look_up(base, key) != value:
                        overrides = merge(overrides, _nested(key, value))
                words = "-".join(_slug(value) for value in chosen).replace(".", "-")
                name = f"{self.name}-{words}" + (f"-{of}" if len(starts) > 1 else "")
                yield self._way(
                    {**at, **dict(zip(self.trained, chosen, strict=True))}, of, overrides, self.asks.question, name
                )

    def _way(
        self,
        at: dict[str, Any],
        of: str,
        overrides: dict[str, Any],
        question: str,
        name: str,
        samplers: Mapping[str, Sampler] | None = None,
        label: str | None = None,
    ) -> _Way:
        seeds = self.asks.seeds or self.study.seeds
        more = [seed for seed in seeds if overrides or seed not in self.study.seeds]
        diffusion = merge(self.values[of], overrides)["diffusion"]
        if not more:
            return _Way(at, of, diffusion, samplers)
        for known in self.into.trained.values():
            if known.of == of and known.overrides == overrides:
                known.seeds += [seed for seed in more if seed not in known.seeds]
                return _Way(at, known.name, diffusion, samplers)
        name = name if overrides else f"{of}-seeds"
        if name in self.study.runs or name in self.into.trained:
            raise self._wrong(
                "arms" if self.asks.arms else "vary", f"would train {shown(name)}, a name that is taken; use another"
            )
        where = f"experiments.{self.name}." + (f"arms.{at['arm']}" if self.asks.arms else "vary")
        self.into.trained[name] = Trained(name, where, of, overrides, question, label or name, more)
        return _Way(at, name, diffusion, samplers)

    def _settings(self, way: _Way) -> Iterator[tuple[dict[str, Any], str]]:
        """(values of the axes of sampling, name of the setting), after the run was asked to make it."""
        home = self.into.trained.get(way.run)
        own = home.samplers if home else self.into.samplers[way.run]
        of = home.of if home else way.run
        bases = [own] if home is None else [own, self.into.samplers[of]] if not home.overrides else [own]
        most = way.diffusion["timesteps"]
        for key, entry in self._entries(way, of):
            for options in itertools.product(*(self.asks.vary[option] for option in self.options)):
                changed = {option.split(".", 1)[1]: value for option, value in zip(self.options, options, strict=True)}
                full = {"kind": key, **entry, **changed}
                if (spec := SAMPLERS.get(full["kind"])) is None:
                    raise self._wrong(
                        f"samplers.{key}", f"{shown(full['kind'])} is not a sampler; use one of {', '.join(SAMPLERS)}"
                    )
                if (spec.path == "interpolant") != (way.diffusion["prediction"] == "velocity"):
                    continue
                by = spec.paced_by
                chosen = [changed.pop(by)] if by in changed else self.asks.vary.get(by) or entry.get(by) or ()
                full = {name: value for name, value in full.items() if name not in PACES}
                name = key + "".join(f"-{_slug(option)}-{_slug(value)}" for option, value in changed.items())
                if not chosen and "sampler" in self.asks.vary:
                    raise self._wrong("vary.steps", f"is missing, and {shown(key)} names no {by}; give it")
                for pace in chosen:
                    if by == "steps" and (not isinstance(pace, int) or isinstance(pace, bool) or not 0 < pace <= most):
                        raise self._wrong("vary.steps", f"{shown(pace)} is not allowed; use a number from 1 to {most}")
                    setting = [self._ask(samplers, key, name, full, by, pace) for samplers in bases][-1]
                    at = {"sampler": key, **dict(zip(self.options, options, strict=True)), "steps": pace}
                    yield at, setting

    def _entries(self, way: _Way, of: str) -> list[tuple[str, dict[str, Any]]]:
        """The samplers by name, before options and steps are varied."""
        said = way.samplers or self.asks.samplers
        if not said and "sampler" not in self.asks.vary:
            said = self.study.experiment_samplers
        named = {key: entry.model_dump(mode="json", exclude_defaults=True) for key, entry in said.items()}
        theirs = self.into.samplers[of]
        if (names := self.asks.vary.get("sampler")) is None:
            if not named:
                raise self._wrong("samplers", "is missing; say how it is sampled, or vary sampler")
            return list(named.items())
        found = []
        for name in map(str, names):
            if name not in named and name not in theirs and name not in SAMPLERS:
                known = ", ".join({**named, **theirs, **SAMPLERS})
                raise self._wrong("vary.sampler", f"{shown(name)} is not a sampler; use one of {known}")
            entry = named.get(name) or theirs.get(name) or {}
            found.append((name, {key: value for key, value in entry.items() if value is not None}))
        return found

    def _ask(
        self, samplers: dict[str, dict[str, Any]], key: str, name: str, entry: dict[str, Any], by: str, pace: Any
    ) -> str:
        """The name of a setting in these samplers, into which it is written where they lack it."""
        try:
            wanted = _content(name, entry)
            [(text, _)] = paces(name, Sampler(**{**_told(entry), by: (pace,)}))
        except UserError as error:
            raise self._wrong(f"samplers.{key}", str(error)) from None
        for own, known in samplers.items():
            if _content(own, known) == wanted:
                if pace not in (known.get(by) or ()):
                    samplers[own] = {**known, by: [*(known.get(by) or ()), pace]}
                return f"{own}-{text}"
        if name in samplers:
            name = f"{name}-{self.name}"
        samplers[name] = {**entry, by: [pace]}
        return f"{name}-{text}"


def _content(key: str, entry: dict[str, Any]) -> str:
    """What a sampler's entry does, whatever it is called and however finely it works."""
    told = {name: value for name, value in _told(entry).items() if name not in PACES}
    made = Sampler(**{**told, "kind": entry.get("kind") or key})
    # What is not said is the same as saying what then holds.
    eta, guidance = made.options.get("eta", 0.0), 1.0 if made.guidance is None else made.guidance
    return made.replace(eta=eta, guidance=guidance).model_dump_json()


def _look_up(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def _slug(value: Any) -> str:
    """A value as part of a name: 0.3, 1e-05, 1-2-2, fixed-small."""
    text = f"{value:g}" if isinstance(value, float) else json.dumps(value) if not isinstance(value, str) else value
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "none"
