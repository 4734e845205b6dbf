"""What a run must satisfy that one section cannot see alone."""

import difflib
from collections.abc import Mapping

from rediffuse.config.sampler_checks import check_samplers
from rediffuse.config.sections import LEAST_RESTORED, Data, LpipsWeights, Restoration
from rediffuse.config.study import ResolvedRun, Study
from rediffuse.config.trained import Diffusion, GuidingClassifier, Network
from rediffuse.data.registry import SOURCES, TAKES, Source
from rediffuse.diffusion.named_schedules import scaled_ends
from rediffuse.errors import UserError, shown
from rediffuse.evaluation.feature_networks import FEATURE_NETWORKS, LPIPS_LEAST
from rediffuse.training.options import TrainingConfig

#: Snapshots of weights that a training keeps to be scored.
MOST_SCORINGS = 1000
#: A convolution of as many channels has 10^11 weights and more.
MOST_CHANNELS = 10**5


def check_data(data: Data) -> None:
    """Raise ValueError (`data.key: message`) where a study says a path or size that its source does not take."""
    name, size = data.source_name, data.image_size
    takes = TAKES.get(name)
    if takes is None:
        return
    if data.path is None and takes.path == "must":
        raise ValueError(f"data.path: is missing; {name} is read from a folder or archive of yours")
    if data.path is not None and takes.path == "never":
        raise ValueError(f"data.path: {shown(data.path)} is not read, {name} takes no path; leave it out")
    if size is not None and takes.sides is not None and size not in takes.sides:
        sides = " or ".join(map(str, takes.sides))
        allowed = f"use {sides}" if sides else f"{name} has a size of its own, leave it out"
        raise ValueError(f"data.image_size: {size} is not allowed; {allowed}")


def check_run(run: ResolvedRun, prepared: Source | None = None) -> None:
    """Raise ValueError (`section.key: message`) when settings that are right by themselves do not fit together.

    prepared: the source with what its images have told, once they are there.
    """
    if (source := prepared or SOURCES.get(run.data.source_name)) is None:
        raise ValueError(f"data.name: {shown(run.data.source_name)} is not a data set; use one of {', '.join(SOURCES)}")
    if run.evaluation.features not in FEATURE_NETWORKS:
        raise ValueError(
            f"evaluation.features: {shown(run.evaluation.features)} is not a feature network; "
            f"use one of {', '.join(FEATURE_NETWORKS)}"
        )
    if run.evaluation.features == "torchscript" and run.evaluation.weights is None:
        raise ValueError("evaluation.weights: torchscript needs one, the TorchScript file of the feature network")
    side = run.data.image_size or source.image_size
    if run.evaluation.lpips is not None:
        _check_lpips(run.evaluation.lpips, side)
    _check_counts(run, source)
    _check_processes(run)
    if run.diffusion is None:
        _check_power(run, side)
    else:
        _check_unet(run, run.diffusion, source, side)


def check_restoring(restoration: Restoration, runs: Mapping[str, ResolvedRun]) -> None:
    """Raise ValueError where what is to restore is no U-Net of the study, or is named twice."""
    known = [name for name, run in runs.items() if run.diffusion is not None]
    for key, named in (("runs", restoration.runs or ()), ("methods", restoration.methods)):
        for name in named:
            if key == "runs" and name not in known:
                raise ValueError(
                    f"restoration.runs: {shown(name)} is no run of a U-Net; use some of {', '.join(known)}"
                )
            if named.count(name) > 1:
                raise ValueError(f"restoration.{key}: names {name} twice; name it once")


def _check_processes(run: ResolvedRun) -> None:
    processes = run.hardware.processes
    if processes == 1 or run.weights is not None:
        return
    if not isinstance(run.training, TrainingConfig):
        raise ValueError(
            f"hardware.processes: {processes} cannot share the training of {run.name}, a {run.model}; use 1, "
            "or leave the run out"
        )
    batch, parts = run.training.batch_size, run.training.accumulate
    if batch % (processes * parts):
        raise ValueError(
            f"hardware.processes: {processes} cannot share the {batch // parts} images "
            f"that a step of {run.name} takes at once into equal parts; use a divisor"
        )


def _check_power(run: ResolvedRun, side: int | None) -> None:
    if side is not None and (side < 8 or side & (side - 1)):
        raise ValueError(
            f"model: {run.model} makes images whose side is a power of two of at least 8, not {side}; "
            "use data.image_size where the source has it, or leave the run out"
        )


def _check_unet(run: ResolvedRun, diffusion: Diffusion, source: Source, side: int | None) -> None:
    _check_sizes(run, side)
    _check_steps(run, diffusion.timesteps)
    steps = diffusion.timesteps
    try:
        scaled_ends(diffusion.schedule, steps)
    except UserError as error:
        raise ValueError(f"diffusion.timesteps: {error}") from None
    if diffusion.prediction == "velocity" and run.role != "ablation":
        raise ValueError(
            "diffusion.prediction: velocity has no bound on the likelihood, which every run has; "
            "make it an arm of an experiment"
        )
    _check_classes(run, diffusion, source.classes)
    check_samplers(run, diffusion)


def _check_classes(run: ResolvedRun, diffusion: Diffusion, classes: int | None) -> None:
    conditional, dropout = run.network.class_conditional, run.training.label_dropout  # type: ignore[union-attr]
    if conditional and classes == 0:
        raise ValueError(f"network.class_conditional: {run.data.source_name} has no classes; use false")
    if dropout and not conditional:
        raise ValueError(
            f"training.label_dropout: {dropout} has no labels to drop; use network.class_conditional: true, or 0"
        )
    samplers = run.sampling.samplers
    asked = conditional or any(sampler.classifier_scale is not None for sampler in samplers.values())
    if asked and classes and run.evaluation.group_size < 2 * classes:
        raise ValueError(
            f"evaluation.group_size: {run.evaluation.group_size} leaves some of the {classes} classes with fewer than "
            f"two images, so their diversity cannot be measured; use at least {2 * classes}"
        )
    if run.classifier is not None and classes == 0:
        raise ValueError(f"classifier: {run.data.source_name} has no classes; leave it out")
    for key, sampler in samplers.items():
        if sampler.classifier_scale is not None and run.classifier is None:
            raise ValueError(
                f"sampling.samplers.{key}.classifier_scale: {sampler.classifier_scale} needs a classifier; "
                "give the run a section `classifier`, or leave it out"
                if run.role != "ablation"
                else f"sampling.samplers.{key}.classifier_scale: what an experiment trains has no classifier; "
                "leave it out"
            )
        if sampler.classifier_scale is not None and diffusion.prediction == "velocity":
            raise ValueError(
                f"sampling.samplers.{key}.classifier_scale: a network that predicts a velocity cannot be guided by a "
                "classifier; leave it out"
            )
        if sampler.guidance is None:
            continue
        if not conditional:
            raise ValueError(
                f"sampling.samplers.{key}.guidance: {sampler.guidance} needs a class-conditional network; "
                "use network.class_conditional: true, or leave it out"
            )
        knows_no_class = dropout if run.weights is None else run.weights.knows_no_class
        if sampler.guidance != 1 and not knows_no_class:
            if run.weights is not None:
                raise ValueError(
                    f"sampling.samplers.{key}.guidance: {sampler.guidance} needs a network that also knows no class, "
                    "and weights.knows_no_class is false; use guidance: 1"
                )
            raise ValueError(
                f"sampling.samplers.{key}.guidance: {sampler.guidance} needs a network that also knows no class; "
                "use training.label_dropout: 0.1, or guidance: 1"
            )


def _check_sizes(run: ResolvedRun, size: int | None) -> None:
    if size is None:
        raise ValueError(
            f"data.image_size: {run.data.source_name} has images of any size; say which side to use, such as 64"
        )
    networks: list[tuple[str, Network | GuidingClassifier]] = []
    if isinstance(run.network, Network):
        networks.append(("network", run.network))
    if run.classifier is not None:
        networks.append(("classifier", run.classifier))
    for where, network in networks:
        if (width := network.channels * max(network.multipliers)) > MOST_CHANNELS:
            raise ValueError(f"{where}.multipliers: {width:,} channels are too many; use at most {MOST_CHANNELS:,}")
        halvings = network.halvings if isinstance(network, Network) else len(network.multipliers) - 1
        if size % 2**halvings:
            raise ValueError(
                f"{where}.multipliers: {halvings} halvings do not divide the image side {size}; use fewer scales"
            )
        sides = [size // 2**scale for scale in range(len(network.multipliers))]
        for side in network.attention:
            if side not in sides:
                raise ValueError(f"{where}.attention: no scale has side {side}; use some of {sides}")


def _check_lpips(lpips: LpipsWeights, size: int | None) -> None:
    least, side = LPIPS_LEAST[lpips.network], lpips.size or size
    if side is not None and side < least:
        raise ValueError(
            f"evaluation.lpips.size: {lpips.network} takes images of at least {least} pixels a side, not {side}; "
            f"use at least {least}"
        )


def _check_counts(run: ResolvedRun, source: Source) -> None:
    n, groups, held_out = run.evaluation.group_size, run.evaluation.groups, source.held_out
    if held_out is not None and held_out < 2:
        raise ValueError(
            f"data.path: {held_out} of {source.images} images {'is' if held_out == 1 else 'are'} held out, and "
            "evaluation.group_size needs 2 at least; give more pictures, or folders train and test"
        )
    if held_out is not None and n > held_out:
        raise ValueError(
            f"evaluation.group_size: {n} exceeds the {held_out} held-out images of {run.data.source_name}, "
            f"so no real-vs-real line at the same n exists; use at most {held_out}"
        )
    if n * groups > run.sampling.images:
        raise ValueError(
            f"sampling.images: {run.sampling.images} is less than evaluation's {groups} groups of {n}; "
            f"use at least {n * groups}"
        )
    for setting, images in run.sampling.images_of.items():
        if images < n:
            raise ValueError(
                f"sampling.images_of.{setting}: {images} is less than one of evaluation's groups of {n}; "
                f"use at least {n}"
            )
    if run.corrections is not None and run.corrections.images < 2 * groups:
        raise ValueError(
            f"corrections.images: {run.corrections.images} makes {groups} groups (evaluation.groups) "
            f"of fewer than two; use at least {2 * groups}"
        )
    counts = {
        "evaluation.likelihood_images": run.evaluation.likelihood_images,
        "restoration.images": run.restoration.images,
    }
    if run.evaluation.during_training is not None:
        counts["evaluation.during_training.images"] = run.evaluation.during_training.images
    for where, count in counts.items():
        if held_out is not None and count > held_out:
            least = LEAST_RESTORED if where == "restoration.images" else 1
            advice = f"use at most {held_out}" if held_out >= least else f"give enough to hold out {least}"
            raise ValueError(
                f"{where}: {count} exceeds the {held_out} held-out images of {run.data.source_name}; {advice}"
            )
    during = run.evaluation.during_training
    if during is not None and run.weights is None and run.training.steps > MOST_SCORINGS * during.every:
        raise ValueError(
            f"evaluation.during_training.every: {during.every} scores the {run.training.steps:,} training steps of "
            f"{run.name} more than {MOST_SCORINGS} times; use at least {-(-run.training.steps // MOST_SCORINGS)}"
        )
    trained = [] if run.weights is not None else [("training", run.training.batch_size)]
    if run.classifier is not None:
        trained.append(("classifier", run.classifier.batch_size))
    if source.images is not None and held_out is not None:
        left = source.images - held_out
        for where, batch_size in trained:
            if batch_size > left:
                raise ValueError(
                    f"{where}.batch_size: {batch_size} exceeds the {left} training images "
                    f"of {run.data.source_name}; use at most {left}"
                )


def check_images_of(study: Study, runs: Mapping[str, ResolvedRun]) -> None:
    """Raise ValueError when a number of images is said of a setting that nothing has of what it is said for."""
    sampled = [run for run in runs.values() if run.diffusion is not None]
    asked = {f"runs.{name}": run.sampling.get("images_of") or {} for name, run in study.runs.items()}
    for where, settings in {"defaults": study.defaults.sampling.images_of, **asked}.items():
        meant = [run for run in sampled if where in ("defaults", f"runs.{run.name}", f"runs.{run.of}")]
        known = [setting for run in meant for setting, _, _ in run.sampling.settings()]
        for setting in settings:
            if setting not in known:
                close = difflib.get_close_matches(setting, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else "use SAMPLER-STEPS as `rediffuse check` prints them"
                raise ValueError(f"{where}.sampling.images_of: {shown(setting)} is not sampled; {hint}")


def _check_steps(run: ResolvedRun, timesteps: int) -> None:
    during, restoration = run.evaluation.during_training, run.restoration
    if during is not None and during.steps > timesteps and run.role != "ablation" and run.weights is None:
        raise ValueError(
            f"evaluation.during_training.steps: {during.steps} exceeds the {timesteps} diffusion time steps; "
            f"use at most {timesteps}"
        )
    traced = run.evaluation.trajectories
    if traced is not None and run.role != "ablation":
        for name, limit in (("steps", timesteps), ("points", traced.steps)):
            if (count := getattr(traced, name)) > limit:
                raise ValueError(
                    f"evaluation.trajectories.{name}: {count} is more than there are steps to take; use at most {limit}"
                )
    for name in ("steps", "many_steps") if run.corrections is not None and run.role != "ablation" else ():
        if (count := getattr(run.corrections, name)) > timesteps:
            raise ValueError(
                f"corrections.{name}: {count} exceeds the {timesteps} diffusion time steps of {run.name}; "
                f"use at most {timesteps}"
            )
    for name, limit in (("steps", timesteps), ("frames", restoration.steps)):
        if (count := getattr(restoration, name)) > limit:
            raise ValueError(f"restoration.{name}: {count} is more than there are steps to take; use at most {limit}")
