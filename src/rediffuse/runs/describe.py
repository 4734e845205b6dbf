"""What a study may say and what one does say, written from the models themselves."""

import inspect
import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from rediffuse.config.load import LoadedStudy
from rediffuse.config.study import ResolvedRun, Study
from rediffuse.config.validate import models_in
from rediffuse.evaluation.metrics import (
    CLASS_METRICS,
    COLOUR_METRICS,
    KINDS,
    METRICS,
    PIXEL_METRICS,
    RESTORED,
    RESTORED_METRICS,
)
from rediffuse.models.latent_options import LatentNetwork
from rediffuse.models.registry import MODELS
from rediffuse.runs import facts
from rediffuse.samplers.registry import SAMPLERS, SamplerSpec


def json_schema() -> str:
    """JSON schema of a study, for editors."""
    return json.dumps(Study.model_json_schema(), indent=2, ensure_ascii=False)


def reference_page() -> str:
    """Markdown page with every key, its meaning, its type and its default."""
    lines = [
        "# What a study may say",
        "",
        "Written by `rediffuse schema --markdown` from the models in `src/rediffuse/config`; a test keeps it current.",
        (
            "A run is a set of overrides on `defaults`: mappings merge key by key, "
            "lists and `samplers` are replaced whole."
        ),
    ]
    sections = [*_sections(Study, "")]
    for name, kind in MODELS.items():
        if kind.one_pass:
            sections += [
                (kind.network_options, f"runs.<name>.network of {name}"),
                (kind.training_options, f"runs.<name>.training of {name}"),
            ]
    for model, where in sections:
        lines += ["", f"## {where or 'Top level'}", "", inspect.cleandoc(model.__doc__ or ""), ""]
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
    return "\n".join([*lines, *_samplers(), *_metrics()])


def _samplers() -> Iterator[str]:
    """A table of the samplers that a study can name."""
    yield from (
        "",
        "## Samplers",
        "",
        "What `kind` can name: S steps, T time steps of the network. See docs/sampling.md.",
        "",
    )
    yield "| kind | title | paper | samples | order | network evaluations | noise in its steps | its own keys |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, spec in SAMPLERS.items():
        own = "; ".join(f"`{key}`: {option.meaning}" for key, option in spec.options.items()) or "none"
        path = "a velocity" if spec.path == "interpolant" else "any other prediction"
        noise = "yes" if spec.stochastic else "no"
        yield f"| `{name}` | {spec.title} | {spec.source} | {path} | {spec.order} | {_cost(spec)} | {noise} | {own} |"


def _metrics() -> Iterator[str]:
    """A table of the metrics that claims and experiments can name."""
    cells = {
        METRICS.kind: "RUN/SAMPLER-STEPS, real/held-out, real/noise",
        CLASS_METRICS.kind: "RUN/SAMPLER-STEPS that is asked for by class",
        PIXEL_METRICS.kind: "RUN/SAMPLER-STEPS of `runs`",
        COLOUR_METRICS.kind: "RUN/SAMPLER-STEPS, real/held-out, real/noise, of coloured images",
        RESTORED_METRICS.kind: f"of a run that restores: {', '.join(f'RUN/{place}' for place in RESTORED)}",
    }
    yield from ("", "## Metrics", "", "What `metric` and `metrics` can name. See docs/evaluation.md.", "")
    yield from ("| metric | what | better | cells |", "| --- | --- | --- | --- |")
    for registry in KINDS:
        for name, metric in registry.items():
            cell = f"RUN/{metric.setting}" if metric.setting else cells[registry.kind]
            title = metric.title.format(network="the feature network's")
            yield f"| `{name}` | {title} | {metric.better} | {cell} |"


def _cost(spec: SamplerSpec) -> str:
    """Network evaluations as a formula in S, which is linear from two steps on."""
    few, more = spec.nfe(10), spec.nfe(11)
    if few is None or more is None:
        return f"as many as `{spec.paced_by}` takes"
    slope, start = more - few, few - 10 * (more - few)
    return f"{slope if slope > 1 else ''}S" + (f" {'+' if start > 0 else '−'} {abs(start)}" if start else "")


def _sections(model: type[BaseModel], where: str) -> Iterator[tuple[type[BaseModel], str]]:
    yield model, where
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            keyed = f"{name}.<name>" if getattr(field.annotation, "__origin__", None) is dict else name
            keyed = f"{name}[]" if getattr(field.annotation, "__origin__", None) is tuple else keyed
            yield from _sections(inner, f"{where}.{keyed}" if where else keyed)


def describe_study(loaded: LoadedStudy, full: bool = False) -> str:
    """The resolved runs of a study: a few lines each, or with `full` every setting."""
    study = loaded.study
    lines = [f"study {study.study}: {study.title}", f"data {study.data.name}, seeds {list(study.seeds)}"]
    for run in [*loaded.runs.values(), *loaded.ablations.values()]:
        what = f"for experiments, from {run.of}" if run.of else run.role
        lines += [
            "",
            f"{run.name} ({what}{f', {run.model}' if run.diffusion is None else ''}), seeds {list(run.seeds)}",
        ]
        every = flatten(run.model_dump(mode="json", exclude={"study", "name", "role", "of", "seeds"}))
        lines += [f"  {line}" for line in (every if full else _summary(run))]
    for name, planned in loaded.experiments.items():
        lines += ["", f"experiment {name}: {planned.asks.question}"]
        lines.append(
            f"  {' × '.join(planned.axes) or 'one cell'}: {' '.join(member.cell for member in planned.members)}"
        )
    return "\n".join(lines)


def _summary(run: ResolvedRun) -> Iterator[str]:
    net, diffusion, training = run.network, run.diffusion, run.training
    if isinstance(net, LatentNetwork):
        yield f"network   {net.channels} channels, latent {net.latent}"
    else:
        scales, attention = list(net.multipliers), list(net.attention)
        yield f"network   {net.channels} channels × {scales}, {net.blocks} blocks, attention at {attention}"
    if diffusion is not None:
        predicts = f"predicts {diffusion.prediction}, {diffusion.variance}, {diffusion.loss}"
        yield f"diffusion T={diffusion.timesteps} {diffusion.schedule}, {predicts}"
    if run.weights is not None:
        yield f"weights   {run.weights.folder} ({run.weights.sha256[:12]}…), not trained here"
    else:
        adam = f"Adam {training.learning_rate:g}, EMA {training.ema_decay:g}"
        yield f"training  {training.steps:,} steps of {training.batch_size}, {adam}"
    asked = run.sampling.images_of
    named = " ".join(s + (f" ({asked[s]:,})" if s in asked else "") for s, _, _ in facts.settings(run))
    yield f"samples   {run.sampling.images:,} images each: {named}"


def flatten(value: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """`section.key: value` lines of a nested mapping."""
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from flatten(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}: {json.dumps(inner, ensure_ascii=False)}"
