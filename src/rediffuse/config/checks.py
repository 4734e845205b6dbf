"""What a run, and the claims of a study, must satisfy that one section cannot see alone."""

from collections.abc import Mapping

from rediffuse.config.facts import (
    CLASS_METRICS,
    DATASETS,
    FEATURE_NETWORKS,
    LPIPS_LEAST,
    METRICS,
    RUN_METRICS,
    RUN_SETTINGS,
    SAMPLERS,
)
from rediffuse.config.generators import ResolvedGenerator
from rediffuse.config.sections import Lpips
from rediffuse.config.study import ResolvedRun, Study
from rediffuse.config.trained import Classifier, Network


def check_run(run: ResolvedRun) -> None:
    """Raise ValueError (`section.key: message`) when settings that are right by themselves do not fit together."""
    facts = DATASETS.get(run.data.source_name)
    if facts is None:
        raise ValueError(f"data.name: {run.data.source_name!r} is not a data set; use one of {', '.join(DATASETS)}")
    if run.evaluation.features not in FEATURE_NETWORKS:
        raise ValueError(
            f"evaluation.features: {run.evaluation.features!r} is not a feature network; "
            f"use one of {', '.join(FEATURE_NETWORKS)}"
        )
    if run.evaluation.features == "torchscript" and run.evaluation.weights is None:
        raise ValueError("evaluation.weights: torchscript needs one, the TorchScript file of the feature network")
    _check_sizes(run, run.data.image_size or facts.image_size)
    if run.evaluation.lpips is not None:
        _check_lpips(run.evaluation.lpips, run.data.image_size or facts.image_size)
    _check_counts(run, facts.held_out, facts.images)
    steps = run.diffusion.timesteps
    if run.diffusion.schedule == "linear" and steps <= 20:
        # beta_end = 0.02 · 1000 / T reaches 1 at T = 20 (Nichol & Dhariwal's scaling of Ho's schedule).
        raise ValueError(f"diffusion.timesteps: {steps} makes the linear schedule reach β ≥ 1; use at least 21")
    if run.diffusion.prediction == "velocity" and run.role != "ablation":
        raise ValueError(
            "diffusion.prediction: velocity has no bound on the likelihood, which every run has; make it an ablation"
        )
    _check_classes(run, facts.classes)
    for key, sampler in run.sampling.samplers.items():
        where, kind = f"sampling.samplers.{key}", sampler.kind or key
        if kind not in SAMPLERS:
            raise ValueError(f"{where}.kind: {kind!r} is not a sampler; use one of {', '.join(SAMPLERS)}")
        if SAMPLERS[kind].flow != (run.diffusion.prediction == "velocity"):
            fitting = [name for name, facts in SAMPLERS.items() if facts.flow != SAMPLERS[kind].flow]
            raise ValueError(
                f"{where}.kind: {kind} does not sample a network that predicts {run.diffusion.prediction}; "
                f"use one of {', '.join(fitting)}"
            )
        if max(sampler.steps) > steps:
            raise ValueError(
                f"{where}.steps: {max(sampler.steps)} exceeds the {steps} diffusion time steps; use at most {steps}"
            )
        if sampler.eta is not None and not SAMPLERS[kind].eta:
            raise ValueError(f"{where}.eta: {kind} has no η; leave it out, or use kind: ddim")
        if sampler.variance is not None and not SAMPLERS[kind].variance:
            raise ValueError(f"{where}.variance: {kind} takes no variance; leave it out, or use kind: ancestral")


def _check_classes(run: ResolvedRun, classes: int | None) -> None:
    conditional = run.network.class_conditional
    if conditional and classes == 0:
        raise ValueError(f"network.class_conditional: {run.data.source_name} has no classes; use false")
    if run.training.label_dropout and not conditional:
        raise ValueError(
            f"training.label_dropout: {run.training.label_dropout} has no labels to drop; "
            "use network.class_conditional: true, or 0"
        )
    asked = any(run.asks_classes(key) for key in run.sampling.samplers)
    if asked and classes and run.evaluation.group_size < 2 * classes:
        raise ValueError(
            f"evaluation.group_size: {run.evaluation.group_size} leaves some of the {classes} classes with fewer than "
            f"two images, so their diversity cannot be measured; use at least {2 * classes}"
        )
    if run.classifier is not None and classes == 0:
        raise ValueError(f"classifiers.{run.name}: {run.data.source_name} has no classes; leave it out")
    for key, sampler in run.sampling.samplers.items():
        if sampler.classifier_scale is not None and run.classifier is None:
            raise ValueError(
                f"sampling.samplers.{key}.classifier_scale: {sampler.classifier_scale} needs a classifier; "
                f"give `classifiers` an entry {run.name}, or leave it out"
                if run.role != "ablation"
                else f"sampling.samplers.{key}.classifier_scale: an ablation has no classifier; leave it out"
            )
        if sampler.classifier_scale is not None and run.diffusion.prediction == "velocity":
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
        knows_no_class = run.training.label_dropout if run.weights is None else run.weights.knows_no_class
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
        if run.data.source_name in ("celeba", "archive", "folder"):
            raise ValueError(
                f"data.image_size: {run.data.source_name} has images of any size; say which side to use, such as 64"
            )
        return
    networks: list[tuple[str, Network | Classifier]] = [("network", run.network)]
    if run.classifier is not None:
        networks.append((f"classifiers.{run.name}", run.classifier))
    for where, network in networks:
        halvings = len(network.multipliers) - 1
        if size % 2**halvings:
            raise ValueError(
                f"{where}.multipliers: {halvings} halvings do not divide the image side {size}; use fewer scales"
            )
        sides = [size // 2**scale for scale in range(halvings + 1)]
        for side in network.attention:
            if side not in sides:
                raise ValueError(f"{where}.attention: no scale has side {side}; use some of {sides}")


def _check_lpips(lpips: Lpips, size: int | None) -> None:
    least, side = LPIPS_LEAST[lpips.network], lpips.size or size
    if side is not None and side < least:
        raise ValueError(
            f"evaluation.lpips.size: {lpips.network} takes images of at least {least} pixels a side, not {side}; "
            f"use at least {least}"
        )


def _check_counts(run: ResolvedRun, held_out: int | None, images: int | None) -> None:
    n, groups = run.evaluation.group_size, run.evaluation.groups
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
    if held_out is not None and run.evaluation.likelihood_images > held_out:
        raise ValueError(
            f"evaluation.likelihood_images: {run.evaluation.likelihood_images} exceeds the {held_out} held-out images "
            f"of {run.data.source_name}; use at most {held_out}"
        )
    if held_out is not None and run.restoration.images > held_out:
        raise ValueError(
            f"restoration.images: {run.restoration.images} exceeds the {held_out} held-out images "
            f"of {run.data.source_name}; use at most {held_out}"
        )
    during = run.during_training
    if during is not None:
        where = "evaluation.during_training"
        if held_out is not None and during.images > held_out:
            raise ValueError(
                f"{where}.images: {during.images} exceeds the {held_out} held-out images of {run.data.source_name}, "
                f"so no real-vs-real line at the same number exists; use at most {held_out}"
            )
        if during.steps > run.diffusion.timesteps:
            raise ValueError(
                f"{where}.steps: {during.steps} exceeds the {run.diffusion.timesteps} diffusion time steps; "
                f"use at most {run.diffusion.timesteps}"
            )
    for name in ("steps", "frames"):
        count, limit = (
            getattr(run.restoration, name),
            run.diffusion.timesteps if name == "steps" else run.restoration.steps,
        )
        if count > limit:
            raise ValueError(f"restoration.{name}: {count} is more than there are steps to take; use at most {limit}")
    trained = [] if run.weights is not None else [("training", run.training.batch_size)]
    if run.classifier is not None:
        trained.append((f"classifiers.{run.name}", run.classifier.batch_size))
    for where, batch_size in trained:
        if images is not None and held_out is not None and batch_size > images - held_out:
            raise ValueError(
                f"{where}.batch_size: {batch_size} exceeds the {images - held_out} training images "
                f"of {run.data.source_name}; use at most {images - held_out}"
            )


def check_claims(
    study: Study, runs: Mapping[str, ResolvedRun], generators: Mapping[str, ResolvedGenerator] | None = None
) -> None:
    """Raise ValueError when a claim names a cell or a metric that the study does not make."""
    one_pass = generators or {}
    models: dict[str, ResolvedRun | ResolvedGenerator] = {**runs, **one_pass}
    sampled = {"real/held-out", "real/noise"} | {f"{n}/{s}" for n, run in models.items() for s, _, _ in run.settings()}
    bounded = [*runs, *(name for name, model in one_pass.items() if model.kind == "vae")]
    for index, claim in enumerate(study.claims):
        if claim.metric not in (all_metrics := METRICS | CLASS_METRICS | RUN_METRICS):
            known = ", ".join(all_metrics)
            raise ValueError(f"claims.{index}.metric: {claim.metric!r} is not a metric; use one of {known}")
        setting = RUN_SETTINGS.get(claim.metric)
        cells = {f"{name}/{setting}" for name in bounded} if setting else sampled
        wanted = f"run/{setting}" if setting else "run/sampler-steps as `rediffuse check` prints them"
        for side in ("better", "worse"):
            if (cell := getattr(claim, side)) not in cells:
                raise ValueError(f"claims.{index}.{side}: {cell!r} is made by no run of this study; use {wanted}")
