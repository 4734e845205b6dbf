"""Samples of a diffusion model: every setting of a run, batch by batch, what is finished kept."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rediffuse.config import ResolvedRun
from rediffuse.config.sections import Sampler
from rediffuse.data.image_set import ImageSet
from rediffuse.diffusion.denoiser import Denoiser, Model
from rediffuse.diffusion.interpolant import VelocityField
from rediffuse.diffusion.pixels import to_uint8
from rediffuse.diffusion.randomness import SampleNoise, derive_seed
from rediffuse.files import atomic_path, digest, read_json
from rediffuse.models.classifier import NoiseClassifier
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.work import Stopwatch
from rediffuse.progress import Progress
from rediffuse.runs import facts
from rediffuse.runs.networks import asked_classes, class_labels, denoiser, trained_classifier, trained_network
from rediffuse.runs.samples import Samples, has_stamp
from rediffuse.samplers.guidance import ClassifierFreeGuidance, ClassifierGuidance
from rediffuse.samplers.registry import SAMPLERS


def sample_settings(job: Job, context: Context, image_set: ImageSet) -> dict[str, Any]:
    """Write samples/<setting>.npz for every setting of the run; what was measured, by setting.

    Settings already there with today's stamp are kept, and finished batches of an interrupted one are used.
    """
    run, seed = job.run, job.seed
    folder, state = context.root / job.folder, context.state(job)
    timings = {}
    network = trained_network(run, image_set, folder / "weights.safetensors")
    classifier = None
    if run.classifier is not None:
        classifier = trained_classifier(run, image_set, folder / "classifier" / "weights.safetensors")
    for setting, key, steps in facts.settings(run):
        sampler = run.sampling.samplers[key]
        stamp = _stamp(job, run, sampler, steps)
        path = folder / "samples" / f"{setting}.npz"
        if has_stamp(path, stamp):
            continue
        model = _guided(network, run, sampler, image_set)
        field: Denoiser | VelocityField
        if facts.is_flow(run):
            field = VelocityField(model)
        else:
            field = denoiser(
                run, model, steps, spacing=sampler.spacing, variance=sampler.variance, clip=run.sampling.clip
            )
        work = state / f"{setting}-{stamp[:16]}"
        images, seconds, made = _draw(
            field, classifier, run, sampler, key, steps, image_set, seed, work, f"sample {run.name} {setting}"
        )
        nfe = SAMPLERS[sampler.kind or key].nfe(steps)
        Samples(images, nfe, stamp).write(path)
        _discard(work)
        timings[setting] = {
            "seconds": seconds,
            "images": made,
            "batch_size": min(run.sampling.batch_size, made),
            "nfe": nfe,
            "ms_per_step": 1000 * seconds / steps / max(1, -(-made // run.sampling.batch_size)),
            "ms_per_image": 1000 * seconds / made,
        }
    return _with_kept(context.root / job.timing, timings)


@torch.inference_mode()
def _draw(
    field: Denoiser | VelocityField,
    classifier: NoiseClassifier | None,
    run: ResolvedRun,
    sampler: Sampler,
    key: str,
    steps: int,
    image_set: ImageSet,
    seed: int,
    work: Path,
    label: str,
) -> tuple[np.ndarray, float, int]:
    """All images of a setting, the seconds spent on those made now and their number."""
    spec = SAMPLERS[sampler.kind or key]
    options: dict[str, Any] = {"eta": sampler.eta} if "eta" in spec.options and sampler.eta is not None else {}
    if "steps" in spec.options:
        options["steps"] = steps
    total = run.sampling.images
    starts = range(0, total, run.sampling.batch_size)
    batches, seconds, made = [], 0.0, 0
    with Progress(label, "step") as progress:
        for number, start in enumerate(starts):
            part = work / f"{start:08d}.npy"
            if part.exists():
                batches.append(np.load(part, allow_pickle=False))
                continue
            indices = torch.arange(start, min(start + run.sampling.batch_size, total))
            noise = SampleNoise(
                derive_seed(seed, "samples"),
                indices,
                image_set.shape,
                device=run.hardware.device,
                initial_temperature=sampler.initial_temperature,
                step_temperature=sampler.step_temperature,
            )
            of_batch: Denoiser | VelocityField | ClassifierGuidance
            of_batch = field.with_labels(class_labels(run, image_set, indices))
            if classifier is not None and sampler.classifier_scale is not None and isinstance(of_batch, Denoiser):
                asked = asked_classes(run, image_set, indices)
                of_batch = ClassifierGuidance(
                    of_batch, classifier, asked, sampler.classifier_scale, clip=run.sampling.clip
                )

            def tick(k: int, *_: object, done: int = number) -> None:
                progress(done * steps + k + 1, len(starts) * steps)

            watch = Stopwatch()
            x0 = spec.run(of_batch, noise, callback=tick, **options)
            images = to_uint8(x0).cpu().numpy()
            seconds, made = seconds + watch.seconds, made + len(images)
            with atomic_path(part) as temporary:
                np.save(temporary, images, allow_pickle=False)
            batches.append(images)
    return np.concatenate(batches), seconds, made


def _guided(network: nn.Module, run: ResolvedRun, sampler: Sampler, image_set: ImageSet) -> Model:
    if not facts.is_conditional(run):
        return network
    scale = 1.0 if sampler.guidance is None else sampler.guidance
    return ClassifierFreeGuidance(network, scale, null_label=len(image_set.class_names))


def _stamp(job: Job, run: ResolvedRun, sampler: Sampler, steps: int) -> str:
    """Digest of all that one setting depends on: changing another setting leaves it as it is."""
    shared = run.sampling.model_dump(mode="json", exclude={"samplers"})
    entry = sampler.model_dump(mode="json", exclude={"steps"})
    guided = sampler.classifier_scale is not None
    needs = {need.name: need.key for need in job.needs if guided or need.stage != "classifier"}
    return digest({"needs": needs, "code": job.code, "sampling": shared, "sampler": entry, "steps": steps})


def _with_kept(path: Path, timings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Today's timings on top of those of settings that were kept."""
    try:
        return {**read_json(path)["settings"], **timings}
    except (OSError, ValueError, KeyError, TypeError):
        return timings


def _discard(work: Path) -> None:
    for part in work.glob("*.npy"):
        part.unlink()
    if work.exists():
        work.rmdir()
