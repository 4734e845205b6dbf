"""Samples of a diffusion model: every setting of a run, batch by batch, what is finished kept."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rediffuse.config import ResolvedRun
from rediffuse.config.sampling import Pace
from rediffuse.config.sections import Sampler
from rediffuse.data.image_set import ImageSet, open_image_set
from rediffuse.diffusion.denoiser import Denoiser, Model
from rediffuse.diffusion.interpolant import VelocityField
from rediffuse.diffusion.randomness import SampleNoise, derive_seed
from rediffuse.errors import UserError, shown
from rediffuse.files import digest, read_json, remove
from rediffuse.models.classifier import NoiseClassifier
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import require
from rediffuse.pipeline.work import Stopwatch
from rediffuse.progress import Progress
from rediffuse.runs import facts
from rediffuse.runs.hardware import compiles_noise, set_threads
from rediffuse.runs.networks import asked_classes, class_labels, denoiser, trained_classifier, trained_network
from rediffuse.runs.samples import Samples, has_stamp, read_samples, write_samples
from rediffuse.samplers.generate import generate
from rediffuse.samplers.guidance import ClassifierFreeGuidance, ClassifierGuidance
from rediffuse.samplers.interfaces import EvaluationCounter, NoiseSource
from rediffuse.samplers.registry import SAMPLERS, SamplerSpec
from rediffuse.samplers.variations import variations


def sample_settings(
    job: Job, context: Context, image_set: ImageSet, only: range | None = None
) -> dict[str, dict[str, Any]]:
    """Write samples/<setting>.npz for every setting of the run; what was measured, by setting.

    Settings already there with today's stamp are kept, and finished batches are used: of an interrupted try, or of
    another machine that was given `only` the images of a range. Such a call draws its batches and leaves them.
    """
    run = job.run
    folder, state = context.root / job.folder, context.state(job)
    network = trained_network(run, image_set, folder / "weights.safetensors")
    classifier = None
    if run.classifier is not None:
        classifier = trained_classifier(run, image_set, folder / "classifier" / "weights.safetensors")
    timings = {}
    batches = torch.arange(run.sampling.images).split(run.sampling.batch_size)
    for setting, key, pace in facts.settings(run):
        stamp = _stamp(job, run, key, pace)
        path = folder / "samples" / f"{setting}.npz"
        if has_stamp(path, stamp):
            continue
        work = state / f"{setting}-{stamp[:16]}"
        parts = {work / f"{int(batch[0]):08d}.npz": batch for batch in batches}
        missing = {part: batch for part, batch in parts.items() if not has_stamp(part, stamp)}
        if only is not None:
            missing = {part: batch for part, batch in missing.items() if int(batch[0]) in only}
        if missing:
            timings[setting] = _draw(network, classifier, run, key, pace, image_set, job.seed, missing, stamp)
        if only is None:
            _join(list(parts), path, (run.sampling.images, *image_set.shape), stamp)
    return _with_kept(context.root / job.timing, timings)


@torch.inference_mode()
def _draw(
    network: nn.Module,
    classifier: NoiseClassifier | None,
    run: ResolvedRun,
    key: str,
    pace: Pace,
    image_set: ImageSet,
    seed: int,
    missing: dict[Path, Tensor],
    stamp: str,
) -> dict[str, Any]:
    """Draw batches into files of their own; the seconds they took and the evaluations of the network, counted."""
    sampler, spec, options = run.sampling.samplers[key], _spec(run, key), facts.options(run, key, pace)
    field: Denoiser | VelocityField
    model = _guided(network, run, sampler, image_set)
    if facts.is_flow(run):
        field, options = VelocityField(model), {**options, "steps": pace}
        planned = int(pace)
    else:
        kept = pace if isinstance(pace, int) else None  # one that chooses its steps is given the whole process
        field = denoiser(run, model, kept, spacing=sampler.spacing, variance=sampler.variance, clip=run.sampling.clip)
        planned = 1 if kept is None else field.process.num_timesteps
    counter, steps, evaluations, seconds, drawn = EvaluationCounter(field), 0, 0, 0.0, 0
    name = f"sample {run.name} {key}-{pace}"
    with Progress(name, "step") as progress:

        def tick(k: int, *_: object) -> None:
            progress(drawn * planned + k + 1, len(missing) * planned)

        # Of one that chooses its steps a callback would cost an evaluation each time.
        watched = {} if spec.evaluations is None else {"callback": tick}

        def sample(indices: Tensor) -> Tensor:
            nonlocal counter
            counter = EvaluationCounter(_of_batch(field, classifier, run, sampler, image_set, indices))
            return spec.run(counter, _noise(run, sampler, image_set, seed, indices), **watched, **options)

        images = generate(sample, torch.cat(list(missing.values())), run.sampling.batch_size, name=name)
        for part in missing:
            watch = Stopwatch()
            batch = next(images)
            seconds += watch.seconds
            steps += counter.forwards if spec.evaluations is None else planned
            evaluations += counter.forwards * len(batch)
            Samples(batch.numpy(), counter.forwards, stamp).write(part)
            drawn += 1
            progress(drawn * planned, len(missing) * planned)
    made = sum(map(len, missing.values()))
    return {
        "seconds": seconds,
        "images": made,
        "batch_size": min(run.sampling.batch_size, made),
        "nfe": round(evaluations / made),
        "ms_per_step": 1000 * seconds / steps,
        "ms_per_image": 1000 * seconds / made,
    }


def sample_shard(job: Job, context: Context, images: str) -> None:
    """Draw only the batches of the images "FIRST:LAST" (LAST left out) of each setting, and leave them in the folder of
    the job's unfinished work, where the job finds them.

    Raises UserError for what is no such range of whole batches.
    """
    parts = facts.by_images(job.run)
    total, batch = max(part.sampling.images for part in parts), job.run.sampling.batch_size
    found = re.fullmatch(r"(\d{1,12}):(\d{1,12})", images)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    if facts.is_one_pass(job.run):
        raise UserError(f"--only: {job.run.name} makes an image in one pass, too fast to be shared out; leave it out")
    if not first < last <= total or first % batch or (last % batch and last < total):
        raise UserError(
            f"--only: {shown(images)} is no range of whole batches of {job.run.name}; use FIRST:LAST "
            f"with multiples of its batch size {batch}, or {total} as LAST"
        )
    require(job, context.root)
    set_threads(job.run)
    for part in parts:
        if first < part.sampling.images:
            sample_settings(replace(job, of_run=part), context, open_image_set(context.data_folder), range(first, last))


def _join(parts: list[Path], path: Path, shape: tuple[int, ...], stamp: str) -> None:
    """One file of all batches, one of which is in memory at a time; where the method decides how often it asks the
    network, batches differ, and the number is their mean over the images.
    """
    counted = [(samples.nfe or 0, len(samples.images)) for samples in map(read_samples, parts)]
    nfe = round(sum(nfe * images for nfe, images in counted) / shape[0])
    write_samples(path, shape, (read_samples(part).images for part in parts), nfe, stamp)
    remove(parts[0].parent)


def _noise(run: ResolvedRun, sampler: Sampler, image_set: ImageSet, seed: int, indices: Tensor) -> NoiseSource:
    noise_seed, shape = derive_seed(seed, "samples"), image_set.shape
    how: dict[str, Any] = {
        "device": run.hardware.device,
        "compiled": compiles_noise(run.hardware),
        "initial_temperature": sampler.initial_temperature,
        "step_temperature": sampler.step_temperature,
    }
    if sampler.variations is None:
        return SampleNoise(noise_seed, indices, shape, **how)
    first, count = int(indices[0]), len(indices)
    return variations(noise_seed, 0, count, shape, strength=sampler.variations, first=first, **how)


def _of_batch(
    field: Denoiser | VelocityField,
    classifier: NoiseClassifier | None,
    run: ResolvedRun,
    sampler: Sampler,
    image_set: ImageSet,
    indices: Tensor,
) -> Denoiser | VelocityField | ClassifierGuidance:
    """The denoiser or velocity field, told the classes of a batch and guided to them where the study says so."""
    told = field.with_labels(class_labels(run, image_set, indices))
    if classifier is None or sampler.classifier_scale is None or not isinstance(told, Denoiser):
        return told
    asked = asked_classes(run, image_set, indices)
    return ClassifierGuidance(told, classifier, asked, sampler.classifier_scale, clip=run.sampling.clip)


def _guided(network: nn.Module, run: ResolvedRun, sampler: Sampler, image_set: ImageSet) -> Model:
    if not facts.is_conditional(run):
        return network
    scale = 1.0 if sampler.guidance is None else sampler.guidance
    return ClassifierFreeGuidance(network, scale, null_label=len(image_set.class_names))


def _stamp(job: Job, run: ResolvedRun, key: str, pace: Pace) -> str:
    """Digest of all that one setting depends on: changing another setting leaves it as it is."""
    sampler, spec = run.sampling.samplers[key], _spec(run, key)
    shared = run.sampling.model_dump(mode="json", exclude={"samplers"})
    entry = sampler.model_dump(mode="json", exclude={spec.paced_by, "steps"})
    guided = sampler.classifier_scale is not None
    needs = {need.name: need.key for need in job.needs if guided or need.stage != "classifier"}
    return digest({"needs": needs, "code": job.code, "sampling": shared, "sampler": entry, "steps": pace})


def _spec(run: ResolvedRun, key: str) -> SamplerSpec:
    return SAMPLERS[run.sampling.samplers[key].kind or key]


def _with_kept(path: Path, timings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Today's timings on top of those of settings that were kept."""
    try:
        return {**read_json(path)["settings"], **timings}
    except (OSError, ValueError, KeyError, TypeError):
        return timings
