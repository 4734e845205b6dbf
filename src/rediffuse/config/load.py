"""From a file to a checked study and its resolved runs, or one clear line."""

import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from rediffuse.config.checks import check_data, check_run
from rediffuse.config.claims import check_claims, check_experiments, check_headline
from rediffuse.config.expand import Planned, expand
from rediffuse.config.experiment import Claim
from rediffuse.config.sections import Sampling
from rediffuse.config.settings import Overrides, Settings, merge, with_preset
from rediffuse.config.study import ResolvedRun, Run, Study
from rediffuse.config.yaml12 import read_yaml
from rediffuse.data.registry import SOURCES
from rediffuse.errors import UserError, shown
from rediffuse.models.registry import MODELS
from rediffuse.options import in_words

Model = TypeVar("Model", bound=BaseModel)


class LoadedStudy(NamedTuple):
    """A study and its runs as the pipeline uses them; ablations: those that experiments train."""

    study: Study
    runs: dict[str, ResolvedRun]
    ablations: dict[str, ResolvedRun]
    experiments: dict[str, Planned]

    def claims(self) -> dict[str, Claim]:
        """Every claim by where it stands: those of the study, then those of its experiments."""
        found = {f"claims.{n}": claim for n, claim in enumerate(self.study.claims)}
        for name, planned in self.experiments.items():
            found |= {f"experiments.{name}.claims.{n}": claim for n, claim in enumerate(planned.asks.claims)}
        return found

    def run(self, name: str) -> ResolvedRun:
        """The run or ablation `name`; UserError when there is none."""
        known = {**self.runs, **self.ablations}
        if name not in known:
            raise UserError(f"run {shown(name)} is not in study {self.study.study!r}; use one of {', '.join(known)}")
        return known[name]


#: Folders beside those of the runs.
TAKEN = ("real", "cost", "report", "ablations")


def load_study(path: str | Path = "params.yaml") -> LoadedStudy:
    """Read, validate and resolve a study.

    Raises:
        UserError: `FILE: key: what is wrong; what would be right`, for the first mistake found.
    """
    return resolve_study(read_yaml(path), path)


def resolve_study(raw: dict[str, Any], path: str | Path) -> LoadedStudy:
    """`load_study` of what stands in the file `path`."""
    defaults = raw.get("defaults")
    if isinstance(defaults, dict) and isinstance(network := defaults.get("network"), dict):
        raw = {**raw, "defaults": {**defaults, "network": _with_preset(network, path, "defaults")}}
    study = _validate(Study, raw, path, ())
    try:
        check_data(study.data)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    layered: dict[str, dict[str, Any]] = {}
    for name, run in study.runs.items():
        where, model = f"runs.{name}", MODELS[run.model]
        if name in TAKEN:
            raise UserError(f"{path}: {where}: the name is kept for a folder of the pipeline's own; use another")
        if not model.one_pass:
            layered[name] = _layered(study, path, (("defaults", None), (where, run)))
    _check_roles(study, path)
    try:
        found = expand(study, layered)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    runs: dict[str, ResolvedRun] = {}
    facts: dict[str, Any]
    for name, run in study.runs.items():
        where, model = f"runs.{name}", MODELS[run.model]
        facts = {"name": name, "model": run.model, "role": run.role, "label": run.label or model.title or name}
        facts |= {"seeds": study.seeds, "weights": run.weights, "classifier": run.classifier}
        if model.one_pass:
            runs[name] = _resolve(study, path, where, _one_pass_settings(study, path, where, run), **facts)
            continue
        facts["added"] = found.added(name, layered[name]["sampling"]["samplers"])
        try:
            settings = _with_samplers(layered[name], found.samplers[name], path, where)
            runs[name] = _resolve(study, path, where, settings, **facts)
        except UserError as error:
            raise found.placed(name, error) from None
    ablations: dict[str, ResolvedRun] = {}
    for name, trained in found.trained.items():
        if name in TAKEN:
            raise UserError(
                f"{path}: {trained.where}: would train {name!r}, a folder of the pipeline's own; use another name"
            )
        where, values = trained.where, trained.values
        for section in trained.overrides:
            _validate(_section(section), values[section], path, (where, section))
        facts = {
            "name": name,
            "model": "unet",
            "role": "ablation",
            "label": trained.label,
            "seeds": tuple(trained.seeds),
        }
        facts |= {"of": trained.of, "question": trained.question, "overrides": trained.overrides}
        try:
            settings = _with_samplers(values, trained.samplers, path, where)
            ablations[name] = _resolve(study, path, where, settings, **facts)
        except UserError as error:
            raise found.placed(name, error) from None
    loaded = LoadedStudy(study, runs, ablations, found.planned)
    try:
        check_claims(loaded.claims(), {**runs, **ablations})
        check_experiments(found.planned, {**runs, **ablations})
        check_headline(study.evaluation.headline)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    return loaded


def _section(name: str) -> type[BaseModel]:
    section = Settings.model_fields[name].annotation
    assert isinstance(section, type)
    return section


def _with_samplers(
    values: dict[str, Any], samplers: dict[str, dict[str, Any]], path: str | Path, where: str
) -> dict[str, Any]:
    """The sections of a run, sampled in these ways."""
    values = {**values, "sampling": {**values["sampling"], "samplers": samplers}}
    return {name: _validate(_section(name), value, path, (where, name)) for name, value in values.items()}


def _one_pass_settings(study: Study, path: str | Path, where: str, run: Run) -> dict[str, Any]:
    """The settings of a model that makes an image in one pass: of its own, and how many images are drawn."""
    model = MODELS[run.model]
    for name in ("diffusion", "classifier", "weights"):
        if getattr(run, name):
            raise UserError(f"{path}: {where}.{name}: a {run.model} has none; leave it out")
    if other := set(run.sampling) - {"images", "batch_size"}:
        raise UserError(f"{path}: {where}.sampling.{min(other)}: a {run.model} is sampled in one way; leave it out")
    for section, options in (("network", "network_options"), ("training", "training_options")):
        own = getattr(model, options).model_fields
        for key in getattr(run, section):
            theirs = [name for name, other in MODELS.items() if key in getattr(other, options).model_fields]
            if theirs and key not in own:
                raise UserError(
                    f"{path}: {where}.{section}.{key}: is for model: {' or '.join(theirs)}, not for {run.model}; "
                    "leave it out"
                )
    sampling = {**study.defaults.sampling.model_dump(mode="json"), **run.sampling}
    return {
        "network": _validate(model.network_options, run.network, path, (where, "network")),
        "diffusion": None,
        "training": _validate(model.training_options, run.training, path, (where, "training")),
        "sampling": _validate(Sampling, sampling, path, (where, "sampling")),
    }


def _check_roles(study: Study, path: str | Path) -> None:
    for name, run in study.runs.items():
        if run.role != "variant" and MODELS[run.model].one_pass:
            raise UserError(f"{path}: runs.{name}.role: a {run.model} is no {run.role}; use role: variant")
    for role in ("baseline", "improved"):
        names = [name for name, run in study.runs.items() if run.role == role]
        if len(names) > 1:
            raise UserError(f"{path}: runs.{names[1]}.role: {names[0]!r} is the {role} already; use role: variant")
    if not any(run.role == "baseline" for run in study.runs.values()):
        raise UserError(f"{path}: runs: none has role: baseline; give one, the comparison starts from it")


def _layered(study: Study, path: str | Path, layers: tuple[tuple[str, Overrides | None], ...]) -> dict[str, Any]:
    """Defaults and overrides merged layer by layer, each checked so that a mistake is named where it stands."""
    values = study.defaults.model_dump(mode="json")
    for where, layer in layers[1:]:
        assert layer is not None
        for section, override in layer.settings().items():
            if section == "network":
                override = _with_preset(override, path, where)
            values[section] = merge(values[section], override)
            _validate(_section(section), values[section], path, (where, section))
    return values


def _with_preset(network: dict[str, Any], path: str | Path, where: str) -> dict[str, Any]:
    """`with_preset`, whose mistake is named where it stands."""
    try:
        return with_preset(network)
    except UserError as error:
        raise UserError(f"{path}: {where}.network.preset: {error}") from None


def _resolve(study: Study, path: str | Path, where: str, settings: dict[str, Any], **facts: Any) -> ResolvedRun:
    shared = {name: getattr(study, name) for name in ("study", "data", "hardware", "evaluation", "restoration")}
    run = ResolvedRun(**shared, **settings, **facts)
    try:
        check_run(run)
    except ValueError as error:
        raise UserError(f"{path}: {_place(where, error)}") from None
    return run


def check_prepared(loaded: LoadedStudy, card: dict[str, Any]) -> None:
    """Check every run again, now that the images are there and their card tells what the source alone could not.

    Raises:
        UserError: `key: what is wrong; what would be right`.
    """
    source = replace(
        SOURCES[loaded.study.data.source_name],
        **{name: card[name] for name in ("channels", "images", "held_out")},
        image_size=card["height"],
        classes=len(card["class_names"]),
    )
    for kind, runs in (("runs", loaded.runs), ("ablations", loaded.ablations)):
        for name, run in runs.items():
            try:
                check_run(run, source)
            except ValueError as error:
                raise UserError(_place(f"{kind}.{name}", error)) from None


def _place(where: str, error: ValueError) -> str:
    """The error of a check with the whole key: that of the run, unless the section is the study's."""
    section = str(error).split(".", 1)[0]
    return f"{error}" if section in Study.model_fields else f"{where}.{error}"


def _validate(model: type[Model], raw: Any, path: str | Path, where: tuple[str, ...]) -> Model:
    # Strict JSON validation: "3" is no number and true is no count, but a list may fill a tuple.
    try:
        taken = model.model_validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        # A misspelt key also leaves the right one missing: name the misspelling.
        errors = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise UserError(f"{path}: {_line(model, errors[0], where)}{more}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {'.'.join(where) or 'study'}: {error}") from None
    for place, given, number in _turned(raw, taken):
        raise UserError(f"{path}: {'.'.join((*where, *place))}: {given} is not allowed; use a number such as {number}")
    return taken


def _turned(raw: Any, taken: Any) -> Iterator[tuple[tuple[str, ...], Any, int]]:
    """Where true, false or 1.0 was taken for a choice of that number: to Python they are the same."""
    if isinstance(taken, int) and type(taken) is not type(raw):
        yield (), raw, taken
    elif isinstance(raw, list) and isinstance(taken, tuple):
        for index, (item, found) in enumerate(zip(raw, taken, strict=True)):
            yield from (((str(index), *place), *rest) for place, *rest in _turned(item, found))
    elif isinstance(raw, dict):
        for key, item in raw.items():
            found = taken.get(key) if isinstance(taken, dict) else getattr(taken, key)
            yield from (((key, *place), *rest) for place, *rest in _turned(item, found))


def _line(model: type[BaseModel], error: Any, where: tuple[str, ...]) -> str:
    location = [*where, *(_part(str(part)) for part in error["loc"] if part != "[key]")]
    kind, context = error["type"], error.get("ctx", {})
    key = ".".join(location) or "study"
    if kind == "extra_forbidden":
        allowed = _keys_at(model, [str(part) for part in error["loc"][:-1]])
        close = difflib.get_close_matches(str(error["loc"][-1]), allowed, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(allowed)}"
        return f"{key}: unknown key; {hint}"
    if kind == "missing":
        return f"{key}: is missing; give it"
    if kind == "value_error":
        message = str(context["error"])
        # A message that begins with a key stands at that key, any other at the place itself.
        joint = "." if re.match(r"[\w.-]+: ", message) else ": "
        return f"{key}{joint}{message}" if location else message
    given = error["input"]
    it = shown(given)
    if kind == "literal_error":
        close = difflib.get_close_matches(
            str(given), [part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")], n=1
        )
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        return f"{key}: {it} is not allowed; use {context['expected']}{hint}"
    if kind == "string_pattern_mismatch":
        return f"{key}: {it} is not a name; use lower-case letters, digits and hyphens"
    if kind == "model_type":
        return f"{key}: {it} is not allowed; it should be a mapping of keys"
    return f"{key}: {it} is not allowed; {in_words(error['msg'])}"


def _part(key: str) -> str:
    """A key as it stands in the study, in quotes where it is no word."""
    return key if re.fullmatch(r"[\w-]{1,60}", key) else shown(key)


def _keys_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """The keys allowed at a place, found by walking the models along `location`."""
    current: Any = model
    for part in location:
        fields = getattr(current, "model_fields", None)
        annotation = fields[part].annotation if fields is not None and part in fields else None
        if annotation is None:
            continue  # a key of a mapping or an index: stays with the model of its values
        models = list(_models_in(annotation))
        current = models[0] if models else current
    return list(getattr(current, "model_fields", {}))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)]
