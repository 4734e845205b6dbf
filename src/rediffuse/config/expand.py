"""Experiments taken apart: which runs they train, how which run is sampled for them, and which cell answers what.

Two experiments that ask for the same training, or for the same setting of a run, share it.
"""

import copy
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rediffuse.config.experiment import Arm, Experiment
from rediffuse.config.sampled import Sampled, Samplers, Way, settings_of, slug
from rediffuse.config.sampling import Sampler
from rediffuse.config.settings import merge, plain, with_preset
from rediffuse.config.study import Study
from rediffuse.errors import UserError, shown
from rediffuse.samplers.registry import SAMPLERS

#: Sections that an experiment may change, each for a run of its own; of two of them one key alone.
TRAINED = ("network", "diffusion", "training", "hardware", "sampling")
ONLY = {"hardware": "precision", "sampling": "clip"}
#: More cells than this are a mistake of combining, not an experiment.
MOST = 400
#: No name of a run is longer.
LONGEST = 60


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
    """A run that experiments train: where it is asked for, what it changes of run `of`, with which seeds, how sampled.

    values: its sections, as JSON.
    """

    name: str
    where: str
    of: str
    overrides: dict[str, dict[str, Any]]
    values: dict[str, Any]
    question: str
    label: str
    seeds: list[int]
    samplers: Samplers = field(default_factory=dict)


@dataclass
class Expansion:
    """What all experiments together ask for.

    samplers: of the main runs, with what experiments add. written: (run, entry of its samplers) → the experiment that
    asked first, and the sampler's name there.
    """

    samplers: dict[str, Samplers]
    trained: dict[str, Trained] = field(default_factory=dict)
    planned: dict[str, Planned] = field(default_factory=dict)
    written: dict[tuple[str, str], tuple[Experiment, str, str]] = field(default_factory=dict)

    def added(self, run: str, before: Mapping[str, Any]) -> tuple[str, ...]:
        """Settings of a main run that only experiments ask for."""
        own, every = (settings_of(samplers) for samplers in (before, self.samplers[run]))
        return tuple(setting for setting in every if setting not in own)

    def placed(self, run: str, error: UserError) -> UserError:
        """A mistake in the samplers of a run, named where the study makes it: at the experiment that asked for them."""
        # The longest first: one name may begin with another.
        for of, key in sorted(self.written, key=lambda place: -len(place[1])):
            _, found, rest = str(error).partition(f"sampling.samplers.{key}.")
            if of == run and found:
                (asks, name, sampler), path = self.written[of, key], str(error).partition(": ")[0]
                option, _, text = rest.partition(": ")
                varied = f"sampler.{option}" in asks.vary
                where = f"vary.sampler.{option}" if varied else f"samplers.{sampler}.{option}"
                return UserError(f"{path}: experiments.{name}.{where}: {text} (of {run})")
        return error


def expand(study: Study, values: Mapping[str, Mapping[str, Any]]) -> Expansion:
    """All experiments of a study; `values`: the settings of each run of a U-Net, as JSON.

    Raises:
        UserError: `experiments.NAME.key: …`, without the study's path.
    """
    found = Expansion({name: copy.deepcopy(of["sampling"]["samplers"]) for name, of in values.items()})
    for name, asks in study.experiments.items():
        found.planned[name] = _Expanding(study, values, found, name, asks).planned()
    return found


class _Expanding:
    def __init__(
        self, study: Study, values: Mapping[str, Mapping[str, Any]], into: Expansion, name: str, asks: Experiment
    ) -> None:
        self.study, self.values, self.into, self.name, self.asks = study, values, into, name, asks
        self.vary = {"steps" if key == "sampler.steps" else key: axis for key, axis in asks.vary.items()}
        self.trained = [key for key in self.vary if key.split(".", 1)[0] in TRAINED]
        self.sampled = Sampled(study, name, asks, self.vary)
        self.wrong = self.sampled.wrong

    def planned(self) -> Planned:
        """The experiment's members, after what they need was asked of the runs."""
        self._check()
        found = []
        for way in self._ways():
            settings = list(self.sampled.settings(way))
            if not settings:
                flow = way.diffusion["prediction"] == "velocity"
                fitting = [name for name, spec in SAMPLERS.items() if (spec.path == "interpolant") == flow]
                raise self.wrong(
                    "samplers",
                    f"none of them samples {way.run}, which predicts {way.diffusion['prediction']}; "
                    f"use some of {', '.join(fitting)}",
                )
            found += [({**way.at, **at}, way.run, setting) for at, setting in settings]
        if "steps" in self.vary and not any(at.get("steps") in self.vary["steps"] for at, _, _ in found):
            raise self.wrong("vary.steps", "none of these samplers takes a number of steps; leave it out")
        for place, key in self.sampled.written.items():
            self.into.written[place] = (self.asks, self.name, key)
        axes = [axis for axis in dict.fromkeys(key for at, _, _ in found for key in at) if self._tells(axis, found)]
        members = dict.fromkeys(Member(tuple(at.get(axis) for axis in axes), run, name) for at, run, name in found)
        trains = any(member.run in self.into.trained for member in members)
        if self.asks.curves and not trains:
            raise self.wrong("curves", "draws losses beside one another, and this trains nothing; leave it out")
        return Planned(self.name, self.asks, tuple(axes), tuple(members), trains)

    def _tells(self, axis: str, found: list[tuple[dict[str, Any], str, str]]) -> bool:
        return len({json.dumps(at.get(axis)) for at, _, _ in found}) > 1

    def _check(self) -> None:
        starts, diffusing = self.asks.starts(), list(self.values)
        for of in starts:
            if of not in diffusing:
                raise self.wrong("of", f"{shown(of)} is not a run of a U-Net; use one of {', '.join(diffusing)}")
            if starts.count(of) > 1:
                raise self.wrong("of", f"names {of} twice; name it once")
        if self.asks.against is not None and self.asks.against not in self.asks.arms:
            known = f"use one of {', '.join(self.asks.arms)}" if self.asks.arms else "leave it out"
            raise self.wrong("against", f"{shown(self.asks.against)} is not one of the arms; {known}")
        cells = len(self.asks.arms) + 1
        for key, axis in self.vary.items():
            option = key.removeprefix("sampler.")
            section, _, name = key.partition(".")
            if section in ONLY and name != ONLY[section]:
                raise self.wrong("vary", f"{shown(key)} cannot be varied; of {section} use {section}.{ONLY[section]}")
            if option != key and option not in Sampler.model_fields:
                known = ", ".join(Sampler.model_fields)
                raise self.wrong(f"vary.{key}", f"no sampler has such an option; use one of {known}")
            if (
                (option == key and key not in ("steps", "sampler", *self.trained))
                or key in TRAINED
                or key.endswith(".")
            ):
                raise self.wrong(
                    "vary",
                    f"{shown(key)} cannot be varied; use steps, sampler, sampler.OPTION, hardware.precision, "
                    "sampling.clip or a key of network, diffusion, training",
                )
            if not axis or len({plain(value) for value in axis}) < len(axis):
                raise self.wrong(f"vary.{key}", "lists no value, or one twice; use each once")
            cells *= len(axis)
        if cells > MOST:
            raise self.wrong("vary", f"asks for {cells} combinations; use at most {MOST}")
        if self.asks.arms and self.trained:
            raise self.wrong(
                "arms", f"goes without axes that are trained, and vary has {self.trained[0]}; use one of both"
            )

    def _ways(self) -> Iterator[Way]:
        """What is trained, the runs themselves first."""
        baseline = next(name for name, run in self.study.runs.items() if run.role == "baseline")
        starts = self.asks.starts() or (baseline,)
        for of in starts:
            if self.asks.arms:
                yield from self._arms(of, alone=len(starts) == 1)
                continue
            for chosen in itertools.product(*(self.vary[key] for key in self.trained)):
                overrides: dict[str, Any] = {}
                for key, value in zip(self.trained, chosen, strict=True):
                    # As a list, which is what evidence keeps of it.
                    overrides = merge(overrides, _nested(key, list(value) if isinstance(value, tuple) else value))
                words = "-".join(slug(value) for value in chosen).replace(".", "-")
                name = f"{self.name}-{words}" + (f"-{of}" if len(starts) > 1 else "")
                yield self._way(
                    {"run": of, **dict(zip(self.trained, chosen, strict=True))}, of, overrides, name, "vary"
                )

    def _arms(self, of: str, alone: bool) -> list[Way]:
        """A run and its arms; an arm that says what the run has stands for the run itself."""
        ways, itself = [self._way({"run": of, "arm": of}, of, {}, of, "arms")], False
        for key, arm in self.asks.arms.items():
            overrides = {name: value for name in TRAINED if (value := getattr(arm, name))}
            if not overrides and not arm.samplers:
                raise self.wrong(f"arms.{key}", f"changes nothing; give it {', '.join(TRAINED)} or samplers")
            name = key if alone else f"{key}-{of}"
            ways.append(self._way({"run": of, "arm": key}, of, overrides, name, f"arms.{key}", arm))
            itself |= ways[-1].run == ways[0].run and not arm.samplers
        return ways[itself:]

    def _way(
        self, at: dict[str, Any], of: str, overrides: dict[str, Any], name: str, key: str, arm: Arm | None = None
    ) -> Way:
        overrides, values = self._changed(of, overrides, key)
        if overrides and (itself := next((name for name, run in self.values.items() if _same(run, values)), None)):
            of, overrides = itself, {}
        samplers, theirs = arm.samplers if arm else None, self.into.samplers[of]
        seeds = self.asks.seeds or self.study.seeds
        more = [seed for seed in seeds if overrides or seed not in self.study.seeds]
        if not more:
            return Way(at, of, of, values["diffusion"], samplers, theirs)
        if self.study.runs[of].weights is not None:
            raise self.wrong(key if overrides else "seeds", f"{of} has weights from elsewhere, and is not trained here")
        trained = next((one for one in self.into.trained.values() if _same(one.values, values)), None)
        if trained is None:
            trained = self._train(Trained(name, "", of, overrides, values, self.asks.question, name, []), key, arm)
        trained.seeds += [seed for seed in more if seed not in trained.seeds]
        return Way(
            at, trained.name, of, values["diffusion"], samplers, theirs, trained.samplers, same=not trained.overrides
        )

    def _train(self, new: Trained, key: str, arm: Arm | None) -> Trained:
        """A run that no experiment has asked for."""
        if not new.overrides:
            new.name = new.label = f"{new.of}-seeds"
        elif arm is not None and arm.label:
            new.label = arm.label
        if new.name in self.study.runs or new.name in self.into.trained:
            raise self.wrong(key, f"would train {shown(new.name)}, a name that is taken; use another")
        if len(new.name) > LONGEST:
            raise self.wrong(
                key, f"would train {shown(new.name)}, of more than {LONGEST} letters; use arms, and name it"
            )
        new.where = f"experiments.{self.name}.{key}"
        self.into.trained[new.name] = new
        return new

    def _changed(self, of: str, overrides: dict[str, Any], key: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What of these overrides says what run `of` does not have, and all sections with them."""
        try:
            values = _layered(self.values[of], overrides)
            if _same(values, self.values[of]):
                return {}, values
            for section in overrides:
                for name in overrides[section]:
                    less = {**overrides, section: {k: v for k, v in overrides[section].items() if k != name}}
                    overrides = less if _same(_layered(self.values[of], less), values) else overrides
        except UserError as error:
            raise self.wrong(f"{key}.network.preset", str(error)) from None
        return {section: changed for section, changed in overrides.items() if changed}, values


def _layered(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """All sections of a run that is trained beside another."""
    values = dict(base)
    for section, override in overrides.items():
        values[section] = merge(values[section], with_preset(override) if section == "network" else override)
    training = values["training"]
    if "preview_steps" not in overrides.get("training", {}) and isinstance(last := training.get("steps"), int):
        # What trains for less is looked at as often as it lasts.
        values["training"] = {**training, "preview_steps": [n for n in training["preview_steps"] if n <= last]}
    return values


def _same(values: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether two runs are trained in the same way, and clip alike, whatever it is called."""
    return all(_said(section, values) == _said(section, others) for section in TRAINED)


def _said(section: str, values: Mapping[str, Any]) -> str:
    names = {ONLY[section]} if section == "sampling" else values[section].keys() - {"preset"}
    return plain({k: v for k, v in values[section].items() if k in names})


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value
