"""From a file to a checked study and its resolved runs, or one clear line."""

import difflib
import json
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from rediffuse.config.checks import check_claims, check_run
from rediffuse.config.facts import DATASETS
from rediffuse.config.generators import ResolvedGenerator, check_generator, resolve
from rediffuse.config.presets import IMAGE_FIELDS, preset_fields
from rediffuse.config.study import Overrides, ResolvedRun, Settings, Study, merge
from rediffuse.config.trained import Network
from rediffuse.config.yaml12 import read_yaml
from rediffuse.errors import UserError

Model = TypeVar("Model", bound=BaseModel)


class LoadedStudy(NamedTuple):
    """A study and its runs, both as the pipeline uses them."""

    study: Study
    runs: dict[str, ResolvedRun]
    ablations: dict[str, ResolvedRun]
    generators: dict[str, ResolvedGenerator]

    def run(self, name: str) -> ResolvedRun:
        """The run or ablation `name`; UserError when there is none."""
        known = {**self.runs, **self.ablations}
        if name not in known:
            raise UserError(f"run {name!r} is not in study {self.study.study!r}; use one of {', '.join(known)}")
        return known[name]

    def model(self, name: str) -> ResolvedRun | ResolvedGenerator:
        """The run, ablation or one-pass model `name`; UserError when there is none."""
        if name in self.generators:
            return self.generators[name]
        if name not in self.runs and name not in self.ablations:
            known = ", ".join([*self.runs, *self.ablations, *self.generators])
            raise UserError(f"run {name!r} is not in study {self.study.study!r}; use one of {known}")
        return self.run(name)


def load_study(path: str | Path = "params.yaml") -> LoadedStudy:
    """Read, validate and resolve a study.

    Raises:
        UserError: `FILE: key: what is wrong; what would be right`, for the first mistake found.
    """
    raw = read_yaml(path)
    defaults = raw.get("defaults") if isinstance(raw, dict) else None
    if isinstance(defaults, dict) and isinstance(network := defaults.get("network"), dict):
        defaults["network"] = _with_preset(network, path, "defaults")
    study = _validate(Study, raw, path, ())
    for name in study.classifiers:
        if name not in study.runs:
            raise UserError(f"{path}: classifiers.{name}: {name!r} is not a run; use one of {', '.join(study.runs)}")
    runs: dict[str, ResolvedRun] = {}
    for name, run in study.runs.items():
        settings = _settings(study, path, (("defaults", None), (f"runs.{name}", run)))
        runs[name] = _resolve(study, path, f"runs.{name}", settings, name=name, role=run.role,
                              label=run.label or name, seeds=study.seeds, weights=run.weights,
                              classifier=study.classifiers.get(name))  # fmt: skip
    _check_roles(study, path)
    ablations: dict[str, ResolvedRun] = {}
    for name, ablation in study.ablations.items():
        where = f"ablations.{name}"
        if name in runs or name in ("real", "cost"):
            raise UserError(f"{path}: {where}: the name is taken by a run; use another")
        if ablation.of not in study.runs:
            raise UserError(f"{path}: {where}.of: {ablation.of!r} is not a run; use one of {', '.join(study.runs)}")
        layers = (
            ("defaults", None),
            (f"runs.{ablation.of}", study.runs[ablation.of]),
            ("ablation_defaults", study.ablation_defaults),
            (where, ablation),
        )
        ablations[name] = _resolve(study, path, where, _settings(study, path, layers), name=name, role="ablation",
                                   label=name, of=ablation.of, question=ablation.question,
                                   seeds=ablation.seeds or study.seeds)  # fmt: skip
    generators = _generators(study, path, {*runs, *ablations})
    try:
        check_claims(study, {**runs, **ablations}, generators)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    return LoadedStudy(study, runs, ablations, generators)


def _generators(study: Study, path: str | Path, taken: set[str]) -> dict[str, ResolvedGenerator]:
    """The one-pass models of a study whose data set is known to exist."""
    facts = DATASETS[study.data.source_name]
    training = None if facts.images is None or facts.held_out is None else facts.images - facts.held_out
    models: dict[str, ResolvedGenerator] = {}
    for name, entry in study.generators.items():
        where = f"generators.{name}"
        if name in taken or name in ("real", "ablations"):
            owner = "a run" if name in taken else "a folder of the pipeline's own"
            raise UserError(f"{path}: {where}: the name is taken by {owner}; use another")
        models[name] = resolve(
            name, entry, study=study.study, seeds=study.seeds, data=study.data, hardware=study.hardware,
            evaluation=study.evaluation, sampling=study.defaults.sampling,
        )  # fmt: skip
        try:
            check_generator(models[name], study.data.image_size or facts.image_size, training)
        except ValueError as error:
            raise UserError(f"{path}: {where}.{error}") from None
    return models


def _check_roles(study: Study, path: str | Path) -> None:
    for name in ("real", "cost", "ablations"):
        if name in study.runs:
            raise UserError(f"{path}: runs.{name}: the name is kept for a folder of the pipeline's own; use another")
    for role in ("baseline", "improved"):
        names = [name for name, run in study.runs.items() if run.role == role]
        if len(names) > 1:
            raise UserError(f"{path}: runs.{names[1]}.role: {names[0]!r} is the {role} already; use role: variant")
    if not any(run.role == "baseline" for run in study.runs.values()):
        raise UserError(f"{path}: runs: none has role: baseline; give one, the comparison starts from it")


def _settings(study: Study, path: str | Path, layers: tuple[tuple[str, Overrides | None], ...]) -> Settings:
    """Defaults and overrides merged layer by layer, each checked so that a mistake is named where it stands."""
    values = study.defaults.model_dump(mode="json")
    settings = study.defaults
    for where, layer in layers[1:]:
        assert layer is not None
        for section, override in layer.settings().items():
            if section == "network":
                override = _with_preset(override, path, where)
            values[section] = merge(values[section], override)
            settings_section = Settings.model_fields[section].annotation
            assert isinstance(settings_section, type)
            _validate(settings_section, values[section], path, (where, section))
        settings = Settings.model_validate_json(json.dumps(values))
    return settings


def _with_preset(network: dict[str, Any], path: str | Path, where: str) -> dict[str, Any]:
    """A `network` section with the keys of the preset it names, if any, below its own."""
    name = network.get("preset")
    if not isinstance(name, str):
        return network
    try:
        fields = preset_fields(name)
    except UserError as error:
        raise UserError(f"{path}: {where}.network.preset: {error}") from None
    rest = Network().model_dump(mode="json", exclude={"class_conditional", "checkpointing"})
    return {**rest, **{key: value for key, value in fields.items() if key not in IMAGE_FIELDS}, **network}


def _resolve(study: Study, path: str | Path, where: str, settings: Settings, **facts: Any) -> ResolvedRun:
    run = ResolvedRun(
        study=study.study, data=study.data, hardware=study.hardware, evaluation=study.evaluation, restoration=study.restoration,
        **{name: getattr(settings, name) for name in Settings.model_fields}, **facts,
    )  # fmt: skip
    try:
        check_run(run)
    except ValueError as error:
        section = str(error).split(".", 1)[0]
        place = "" if section in Study.model_fields else f"{where}."
        raise UserError(f"{path}: {place}{error}") from None
    return run


def _validate(model: type[Model], raw: Any, path: str | Path, where: tuple[str, ...]) -> Model:
    # Strict JSON validation: "3" is no number and true is no count, but a list may fill a tuple.
    try:
        text = json.dumps(raw)
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        # A misspelt key also leaves the right one missing: name the misspelling.
        errors = sorted(error.errors(include_url=False), key=lambda e: e["type"] != "extra_forbidden")
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise UserError(f"{path}: {_line(model, errors[0], where)}{more}") from None
    except (TypeError, ValueError) as error:
        raise UserError(f"{path}: {'.'.join(where) or 'study'}: {error}") from None


def _line(model: type[BaseModel], error: Any, where: tuple[str, ...]) -> str:
    location = [str(part) for part in (*where, *error["loc"]) if part != "[key]"]
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
        return f"{key}.{message}" if location else message
    given = error["input"]
    shown = f"{given!r} " if isinstance(given, str | int | float | bool) or given is None else ""
    if kind == "literal_error":
        close = difflib.get_close_matches(
            str(given), [part.strip("'") for part in context["expected"].replace(" or ", ", ").split(", ")], n=1
        )
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        return f"{key}: {shown}is not allowed; use {context['expected']}{hint}"
    if kind == "string_pattern_mismatch":
        return f"{key}: {shown}is not a name; use lower-case letters, digits and hyphens"
    if kind == "model_type":
        return f"{key}: {shown}is not allowed; it should be a mapping of keys"
    message = error["msg"][:1].lower() + error["msg"][1:]
    for ours, theirs in (("input should", "it should"), ("tuple", "the list"), ("dictionary", "the mapping"),
                         (" after validation", ""), ("be a valid object", "be a mapping of keys"), ("be an object", "be a mapping of keys")):  # fmt: skip
        message = message.replace(ours, theirs)
    return f"{key}: {shown}is not allowed; {message}"


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
