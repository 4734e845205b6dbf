"""What a study may say and what one does say, written from the models themselves."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from rediffuse.config.generators import ResolvedGenerator
from rediffuse.config.load import LoadedStudy, _models_in
from rediffuse.config.study import ResolvedRun, Study


def json_schema() -> str:
    """JSON schema of a study, for editors."""
    return json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False)


def reference_page() -> str:
    """Markdown page with every key, its meaning, its type and its default."""
    lines = [
        "# What a study may say",
        "",
        "Written by `rediffuse schema --markdown` from the models in `src/rediffuse/config`; a test keeps it current.",
        "A run is a set of overrides on `defaults`: mappings merge key by key, lists and `samplers` are replaced whole.",
    ]
    for model, where in _sections(Study, ""):
        lines += ["", f"## {where or 'Top level'}", "", (model.__doc__ or "").strip(), ""]
        lines += ["| key | meaning | default |", "| --- | --- | --- |"]
        for name, field in model.model_fields.items():
            default = field.get_default(call_default_factory=True)
            if default is PydanticUndefined:
                shown = "required"
            elif isinstance(default, BaseModel) or (isinstance(default, dict) and default):
                shown = "see below"
            else:
                shown = f"`{json.dumps(default, ensure_ascii=False)}`"
            choices = getattr(field.annotation, "__args__", ())
            allowed = f" ({', '.join(choices)})" if choices and all(isinstance(c, str) for c in choices) else ""
            lines.append(f"| `{name}` | {field.description}{allowed} | {shown} |")
    return "\n".join(lines)


def _sections(model: type[BaseModel], where: str) -> Iterator[tuple[type[BaseModel], str]]:
    yield model, where
    for name, field in model.model_fields.items():
        for inner in _models_in(field.annotation):
            keyed = f"{name}.<name>" if getattr(field.annotation, "__origin__", None) is dict else name
            keyed = f"{name}[]" if getattr(field.annotation, "__origin__", None) is tuple else keyed
            yield from _sections(inner, f"{where}.{keyed}" if where else keyed)


def describe_study(loaded: LoadedStudy, full: bool = False) -> str:
    """The resolved runs of a study: a few lines each, or with `full` every setting."""
    study = loaded.study
    lines = [f"study {study.study}: {study.title}", f"data {study.data.name}, seeds {list(study.seeds)}"]
    for run in [*loaded.runs.values(), *loaded.ablations.values()]:
        lines += ["", f"{run.name} ({run.role}{f' of {run.of}' if run.of else ''}), seeds {list(run.seeds)}"]
        lines += [f"  {line}" for line in (_every_setting(run) if full else _summary(run))]
    for model in loaded.generators.values():
        lines += ["", f"{model.name} ({model.kind}, one pass), seeds {list(model.seeds)}"]
        lines += [f"  {line}" for line in (_every_setting(model) if full else _one_pass_summary(model))]
    return "\n".join(lines)


def _one_pass_summary(model: ResolvedGenerator) -> Iterator[str]:
    training = model.training
    yield f"network   {model.channels} channels, latent {model.latent}"
    yield f"training  {training.steps:,} steps of {training.batch_size}, Adam {training.learning_rate:g}, EMA {training.ema_decay:g}"
    yield f"samples   {model.sampling.images:,} images: {' '.join(setting for setting, _, _ in model.settings())}"


def _summary(run: ResolvedRun) -> Iterator[str]:
    net, diffusion, training = run.network, run.diffusion, run.training
    yield f"network   {net.channels} channels × {list(net.multipliers)}, {net.blocks} blocks, attention at {list(net.attention)}"
    yield f"diffusion T={diffusion.timesteps} {diffusion.schedule}, predicts {diffusion.prediction}, {diffusion.variance}, {diffusion.loss}"
    if run.weights is not None:
        yield f"weights   {run.weights.folder} ({run.weights.sha256[:12]}…), not trained here"
    else:
        yield f"training  {training.steps:,} steps of {training.batch_size}, Adam {training.learning_rate:g}, EMA {training.ema_decay:g}"
    yield f"samples   {run.sampling.images:,} images each: {' '.join(setting for setting, _, _ in run.settings())}"


def _every_setting(run: ResolvedRun | ResolvedGenerator) -> Iterator[str]:
    yield from flatten(run.model_dump(mode="json", exclude={"study", "name", "role", "of", "seeds"}))


def flatten(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """`section.key: value` lines of a nested mapping."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from flatten(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: {json.dumps(inner, ensure_ascii=False)}"
