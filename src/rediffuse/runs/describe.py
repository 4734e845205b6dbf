"""What a study says: its runs as `rediffuse check` prints them."""

from collections.abc import Iterator

from rediffuse.config import LoadedStudy, ResolvedRun
from rediffuse.config.describe import flatten
from rediffuse.models.latent_options import LatentNetwork
from rediffuse.runs import facts


def describe_study(loaded: LoadedStudy, full: bool = False) -> str:
    """The resolved runs of a study: a few lines each, or with `full` every setting."""
    study = loaded.study
    lines = [f"study {study.study}: {study.title}", f"data {study.data.name}, seeds {list(study.seeds)}"]
    for run in [*loaded.runs.values(), *loaded.ablations.values()]:
        what = f"{run.role} of {run.of}" if run.of else run.role
        lines += [
            "",
            f"{run.name} ({what}{f', {run.model}' if run.diffusion is None else ''}), seeds {list(run.seeds)}",
        ]
        every = flatten(run.model_dump(mode="json", exclude={"study", "name", "role", "of", "seeds"}))
        lines += [f"  {line}" for line in (every if full else _summary(run))]
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
    named = " ".join(setting for setting, _, _ in facts.settings(run))
    yield f"samples   {run.sampling.images:,} images each: {named}"
