"""From a file to a checked study and its resolved runs, or one clear line."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from rediffuse.config.checks import check_data, check_images_of, check_restoring, check_run
from rediffuse.config.claims import asked_of_networks, check_claims, check_experiments, check_headline
from rediffuse.config.expand import Planned, expand
from rediffuse.config.experiment import Claim
from rediffuse.config.sampled import settings_of
from rediffuse.config.sections import Sampling
from rediffuse.config.settings import Overrides, Settings, merge, with_preset
from rediffuse.config.study import ResolvedRun, Run, Study
from rediffuse.config.validate import validate
from rediffuse.config.yaml12 import read_yaml
from rediffuse.data.registry import SOURCES
from rediffuse.errors import UserError, shown
from rediffuse.models.registry import MODELS


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
    study = validate(Study, raw, path, ())
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
            layered[name]["hardware"] = dict(study.hardware)
    _check_roles(study, path)
    runs: dict[str, ResolvedRun] = {}
    facts: dict[str, Any]
    for name, run in study.runs.items():
        where, model = f"runs.{name}", MODELS[run.model]
        facts = {"name": name, "model": run.model, "role": run.role, "label": run.label or model.title or name}
        facts |= {"seeds": study.seeds, "weights": run.weights, "classifier": run.classifier}
        if model.one_pass:
            settings = _one_pass_settings(study, path, where, run)
        else:
            # Before experiments ask anything of it: a mistake of the run is named there,
            # not where they stumble over it.
            settings = _with_samplers(layered[name], layered[name]["sampling"]["samplers"], path, where)
            facts["probed"] = True
        runs[name] = _resolve(study, path, where, settings, **facts)
    try:
        found = expand(study, layered)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    for name, samplers in found.samplers.items():
        where, added = f"runs.{name}", found.added(name, layered[name]["sampling"]["samplers"])
        try:
            settings = _with_samplers(layered[name], samplers, path, where)
            runs[name] = _checked(runs[name].model_copy(update={**settings, "added": added}), path, where)
        except UserError as error:
            raise found.placed(name, error) from None
    ablations: dict[str, ResolvedRun] = {}
    probed = asked_of_networks(study, found.planned)
    for name, trained in found.trained.items():
        if name in TAKEN:
            raise UserError(
                f"{path}: {trained.where}: would train {name!r}, a folder of the pipeline's own; use another name"
            )
        where, values = trained.where, trained.values
        for section in trained.overrides:
            validate(_section(section), values[section], path, (where, section))
        facts = {
            "name": name,
            "model": "unet",
            "role": "ablation",
            "label": trained.label,
            "seeds": tuple(trained.seeds),
        }
        facts |= {"of": trained.of, "question": trained.question, "overrides": trained.overrides}
        facts["probed"] = name in probed
        try:
            settings = _with_samplers(values, trained.samplers, path, where)
            ablations[name] = _resolve(study, path, where, settings, **facts)
        except UserError as error:
            raise found.placed(name, error) from None
    loaded = LoadedStudy(study, runs, ablations, found.planned)
    try:
        check_images_of(study, {**runs, **ablations})
        check_claims(loaded.claims(), {**runs, **ablations})
        check_experiments(found.planned, {**runs, **ablations})
        check_headline(study.evaluation.headline)
        check_restoring(study.restoration, {**runs, **ablations})
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None
    return loaded


def _section(name: str) -> type[BaseModel]:
    section = {**Settings.model_fields, "hardware": Study.model_fields["hardware"]}[name].annotation
    assert isinstance(section, type)
    return section


def _with_samplers(
    values: dict[str, Any], samplers: dict[str, dict[str, Any]], path: str | Path, where: str
) -> dict[str, Any]:
    """The sections of a run, sampled in these ways; of settings that it has not it says no number of images."""
    sampling, has = {**values["sampling"], "samplers": samplers}, set(settings_of(samplers))
    values = {**values, "sampling": sampling}
    if asked := sampling.get("images_of"):
        sampling["images_of"] = {setting: images for setting, images in asked.items() if setting in has}
    return {name: validate(_section(name), value, path, (where, name)) for name, value in values.items()}


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
    sampling = {**study.defaults.sampling.model_dump(mode="json", exclude={"images_of"}), **run.sampling}
    return {
        "network": validate(model.network_options, run.network, path, (where, "network")),
        "diffusion": None,
        "training": validate(model.training_options, run.training, path, (where, "training")),
        "sampling": validate(Sampling, sampling, path, (where, "sampling")),
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
            validate(_section(section), values[section], path, (where, section))
    return values


def _with_preset(network: dict[str, Any], path: str | Path, where: str) -> dict[str, Any]:
    """`with_preset`, whose mistake is named where it stands."""
    try:
        return with_preset(network)
    except UserError as error:
        raise UserError(f"{path}: {where}.network.preset: {error}") from None


def _resolve(study: Study, path: str | Path, where: str, settings: dict[str, Any], **facts: Any) -> ResolvedRun:
    names = ("study", "data", "hardware", "evaluation", "restoration", "corrections")
    shared = {name: getattr(study, name) for name in names}
    return _checked(ResolvedRun(**{**shared, **settings}, **facts), path, where)


def _checked(run: ResolvedRun, path: str | Path, where: str) -> ResolvedRun:
    """The run, whose settings fit together; what does not is named where it stands."""
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
