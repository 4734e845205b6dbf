"""What follows from a run's settings: plain functions, since a study is data."""

import itertools
from pathlib import Path
from typing import Any

from rediffuse.config.load import LoadedStudy
from rediffuse.config.sampling import PACES, Pace, Setting, paces
from rediffuse.config.sections import DuringTraining, Trajectories
from rediffuse.config.study import ResolvedRun
from rediffuse.config.trained import Diffusion, Network
from rediffuse.models.latent_options import LatentNetwork
from rediffuse.models.registry import MODELS
from rediffuse.samplers.registry import SAMPLERS

#: The one setting that a one-pass model is sampled with.
ONE_PASS: Setting = ("one-pass-1", "one-pass", 1)
#: Keys of a sampler that say at which settings it works, or have a place of their own in what describes it.
TOLD = {"kind", "variance", "guidance", "classifier_scale", "eta"}


def folder(run: ResolvedRun, seed: int) -> Path:
    """Folder of everything made with a training seed; ablations lie apart, where DVC does not look."""
    where = ("ablations", run.name) if run.role == "ablation" else (run.name,)
    return Path("runs", run.study, *where, f"seed{seed}")


def is_one_pass(run: ResolvedRun) -> bool:
    """Whether it makes an image in one pass: a GAN or a VAE."""
    return MODELS[run.model].one_pass


def unet(run: ResolvedRun) -> Network:
    """The U-Net of a run that has one."""
    assert isinstance(run.network, Network)
    return run.network


def diffusion(run: ResolvedRun) -> Diffusion:
    """The forward process of a run of a U-Net."""
    assert run.diffusion is not None
    return run.diffusion


def latent(run: ResolvedRun) -> LatentNetwork:
    """The networks of a one-pass run."""
    assert isinstance(run.network, LatentNetwork)
    return run.network


def is_flow(run: ResolvedRun) -> bool:
    """Whether its network predicts the velocity of the straight path from data to noise."""
    return run.diffusion is not None and run.diffusion.prediction == "velocity"


def bounds_likelihood(run: ResolvedRun) -> bool:
    """Whether the likelihood of images under it is bounded; of ablations nobody asks."""
    return MODELS[run.model].bound and not is_flow(run) and run.role != "ablation"


def settings(run: ResolvedRun) -> list[Setting]:
    """(setting name `<sampler>-<pace>`, sampler key, pace) of everything this run samples."""
    return [ONE_PASS] if is_one_pass(run) else run.sampling.settings()


def images_of(run: ResolvedRun, setting: str) -> int:
    """How many images it makes in a setting."""
    return run.sampling.images_of.get(setting, run.sampling.images)


def groups_of(run: ResolvedRun, setting: str) -> int:
    """In how many groups they are scored: as many as they fill, where their number is the setting's own."""
    asked, evaluation = run.sampling.images_of.get(setting), run.evaluation
    return evaluation.groups if asked is None else asked // evaluation.group_size


def by_images(run: ResolvedRun) -> list[ResolvedRun]:
    """The run as one for each number of images and of groups that its settings have.

    What samples and scores sees settings of one number alone: those of others change nothing of what it makes.
    """
    if not run.sampling.images_of:
        return [run]
    numbers = {name: (images_of(run, name), groups_of(run, name)) for name, _, _ in settings(run)}
    found = []
    for images, groups in dict.fromkeys(numbers.values()):
        samplers = {}
        for key, sampler in run.sampling.samplers.items():
            by = SAMPLERS[sampler.kind or key].paced_by
            kept = [numbers[f"{key}-{pace}"] == (images, groups) for pace, _ in paces(key, sampler)]
            if any(kept):
                samplers[key] = sampler.model_copy(update={by: tuple(itertools.compress(getattr(sampler, by), kept))})
        sampling = run.sampling.model_copy(update={"images": images, "images_of": {}, "samplers": samplers})
        evaluation = run.evaluation.model_copy(update={"groups": groups})
        found.append(run.model_copy(update={"sampling": sampling, "evaluation": evaluation}))
    return found


def own_settings(run: ResolvedRun) -> list[Setting]:
    """`settings` without those that experiments alone ask for."""
    return [setting for setting in settings(run) if setting[0] not in run.added]


def fineness(setting: Setting) -> tuple[bool, float]:
    """What sorts settings: most steps first, then those that choose their steps, the smallest tolerance first."""
    _, _, pace = setting
    return (False, -pace) if isinstance(pace, int) else (True, float(pace.removeprefix("tol")))


def in_words(pace: Pace) -> str:
    """ "50 steps", "tolerance 0.01"."""
    return f"{pace} steps" if isinstance(pace, int) else pace.replace("tol", "tolerance ", 1)


def shown_setting(run: ResolvedRun) -> Setting:
    """The setting that stands for the run: its first sampler's most steps, at guidance 1 where a sampler has it."""
    if is_one_pass(run):
        return ONE_PASS
    own, samplers = own_settings(run), run.sampling.samplers
    key = next((key for _, key, _ in own if samplers[key].guidance == 1), own[0][1])
    return min((setting for setting in own if setting[1] == key), key=fineness)


def asks_classes(run: ResolvedRun, key: str) -> bool:
    """Whether samples of the sampler `key` are asked for by class: sample i for class i mod K."""
    if is_one_pass(run):
        return False
    return is_conditional(run) or run.sampling.samplers[key].classifier_scale is not None


def is_conditional(run: ResolvedRun) -> bool:
    """Whether its network is told the class of an image."""
    return isinstance(run.network, Network) and run.network.class_conditional


def comparable_settings(run: ResolvedRun) -> list[Setting]:
    """`own_settings` without those that a classifier guides, or that vary one image:
    they are no match for the others.
    """
    if is_one_pass(run):
        return [ONE_PASS]
    alone = {k for k, s in run.sampling.samplers.items() if s.classifier_scale is not None or s.variations is not None}
    return [setting for setting in own_settings(run) if setting[1] not in alone]


def describe(run: ResolvedRun, key: str) -> dict[str, Any]:
    """What a metrics file says of a sampler besides its name and steps."""
    if run.diffusion is None:
        return {"kind": key, "eta": None, "guidance": None, "classifier_scale": None, "variance": None}
    sampler = run.sampling.samplers[key]
    return {
        "kind": sampler.kind or key,
        "eta": sampler.eta,
        "guidance": sampler.guidance,
        "classifier_scale": sampler.classifier_scale,
        "variance": sampler.variance or run.diffusion.variance,
        **other_options(run, key),
    }


def other_options(run: ResolvedRun, key: str) -> dict[str, Any]:
    """What the study says of a sampler besides its pace and what `describe` names of all, where it is no default."""
    return run.sampling.samplers[key].model_dump(mode="json", exclude_defaults=True, exclude=TOLD | PACES)


def guiding(run: ResolvedRun, key: str) -> dict[str, float]:
    """The scales that a sampler is guided with, where the study says some."""
    sampler = run.sampling.samplers[key]
    scales = {"guidance": sampler.guidance, "classifier_scale": sampler.classifier_scale}
    return {name: scale for name, scale in scales.items() if scale is not None}


def options(run: ResolvedRun, key: str, pace: Pace) -> dict[str, Any]:
    """The options that the function of a sampler is called with in a setting."""
    return dict(paces(key, run.sampling.samplers[key]))[pace]


def preview_steps(run: ResolvedRun) -> tuple[int, ...]:
    """Steps after which a preview is drawn; none where nothing is trained."""
    return () if run.weights is not None else tuple(sorted(set(run.training.preview_steps)))


def during_training(run: ResolvedRun) -> DuringTraining | None:
    """How samples of its snapshots are drawn and scored; None where they are not."""
    asked = run.weights is None and run.role != "ablation" and not is_one_pass(run)
    return run.evaluation.during_training if asked else None


def trajectories(run: ResolvedRun) -> Trajectories | None:
    """How its samples are watched along their steps; None where they are not."""
    return run.evaluation.trajectories if run.role in ("baseline", "improved") else None


def scored_steps(run: ResolvedRun) -> tuple[int, ...]:
    """Training steps after which samples are drawn and scored."""
    during, last = during_training(run), run.training.steps
    return () if during is None else tuple(sorted({*range(during.every, last, during.every), last}))


def snapshot_steps(run: ResolvedRun) -> tuple[int, ...]:
    """Training steps whose weights are kept, to be looked at."""
    return tuple(sorted({*preview_steps(run), *scored_steps(run)}))


def snapshot(step: int) -> str:
    """The file of a snapshot: averaged and raw weights after a step."""
    return f"step-{step:06d}.safetensors"


def diffusion_runs(loaded: LoadedStudy) -> dict[str, ResolvedRun]:
    """The main runs that diffuse, by name."""
    return {name: run for name, run in loaded.runs.items() if not is_one_pass(run)}


def one_pass_runs(loaded: LoadedStudy) -> dict[str, ResolvedRun]:
    """The main runs that make an image in one pass, by name."""
    return {name: run for name, run in loaded.runs.items() if is_one_pass(run)}
