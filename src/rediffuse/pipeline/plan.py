"""Every job of a study: what it depends on, what it makes, and the key that says whether that is still true.

A job's key is the digest of its settings, its code and the keys of the jobs it needs. Keys therefore follow from
`params.yaml` and the source alone, and from weight files that it names without their digest: no result has to be read
and nothing run to know what is out of date.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rediffuse.config import LoadedStudy, ResolvedGenerator, ResolvedRun
from rediffuse.config.presets import preset_fields
from rediffuse.files import digest, sha256
from rediffuse.pipeline.code import code_digest
from rediffuse.pipeline.digests import weights_digests

# One design in four sizes, whose cost stands beside that of the study's own networks.
SIZES = ("tiny", "small", "base", "large")
TRAIN_SETTINGS = ("data", "hardware", "network", "diffusion", "training")
# Of weights trained elsewhere: which they are, not where they lie.
IMPORT_SETTINGS = ("data", "hardware", "network", "diffusion")


@dataclass(frozen=True)
class Job:
    """One unit of work, executed by one command."""

    stage: str
    name: str
    settings: dict[str, Any]
    needs: tuple["Job", ...]
    receipt: Path
    outputs: tuple[Path, ...]
    command: str
    ablation: bool = False
    code: str = field(init=False)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "code", code_digest(f"rediffuse.stages.{self.stage}"))
        parts = {"settings": self.settings, "code": self.code, "needs": {job.name: job.key for job in self.needs}}
        object.__setattr__(self, "key", digest(parts))

    def key_file(self, study: str) -> Path:
        """Where the key is written for Snakemake to see (an input of the job's rule)."""
        return Path("state", study, "keys", f"{self.name.replace('/', '-')}.json")


@dataclass(frozen=True)
class Plan:
    """All jobs of a study by name, those that others need first."""

    study: str
    jobs: dict[str, Job]

    def find(self, stage: str, run: str | None = None, seed: int | None = None) -> Job:
        """The job of a stage; for the stages of a run, of that run and seed."""
        return self.jobs[stage if run is None else f"{stage}/{run}/seed{seed}"]

    def has(self, stage: str, run: str, seed: int) -> bool:
        """Whether a run has this stage."""
        return f"{stage}/{run}/seed{seed}" in self.jobs

    def of_stage(self, stage: str, ablation: bool = False) -> list[Job]:
        """The jobs of a stage, of the main runs or of the ablations."""
        return [job for job in self.jobs.values() if job.stage == stage and job.ablation == ablation]


def evidence_file(study: str) -> Path:
    """The committed record of ablation results, an input of the report."""
    return Path("reports", study, "evidence", "ablations.json")


def make_plan(loaded: LoadedStudy, root: Path = Path()) -> Plan:
    """The plan of a study, paths relative to `root` (read for the evidence of ablations and for weight files).

    Raises:
        UserError: a file of weights is absent or not the one that is meant.
    """
    study = loaded.study
    name = study.study
    jobs: dict[str, Job] = {}

    def add(job: Job) -> Job:
        jobs[job.name] = job
        return job

    data = study.data.model_dump(mode="json")
    evaluation = _evaluation(loaded, root)
    folder = Path("data", study.data.name)
    prepare = add(
        Job(
            stage="prepare",
            name="prepare",
            settings={"data": data},
            needs=(),
            receipt=folder / "receipt.json",
            outputs=tuple(folder / file for file in ("images.npy", "labels.npy", "held_out.npy", "card.json")),
            command="rediffuse prepare",
        )
    )
    stem = f"reference-{study.evaluation.features}"
    reference = add(
        Job(
            stage="reference",
            name="reference",
            settings={"features": evaluation["features"], "weights": evaluation["weights"]},
            needs=(prepare,),
            receipt=folder / f"{stem}.receipt.json",
            outputs=(folder / f"{stem}.npz", folder / f"{stem}.json"),
            command="rediffuse reference",
        )
    )
    real_folder = Path("runs", name, "real")
    real = add(
        Job(
            stage="real",
            name="real",
            settings={"evaluation": _scoring(evaluation)},
            needs=(prepare, reference),
            receipt=real_folder / "receipts" / "real.json",
            outputs=(real_folder / "held-out.json", real_folder / "noise.json"),
            command="rediffuse real",
        )
    )
    cost_folder = Path("runs", name, "cost")
    cost = add(
        Job(
            stage="cost",
            name="cost",
            settings={
                "hardware": study.hardware.model_dump(mode="json"),
                "runs": {run.name: _cost_settings(run) for run in loaded.runs.values()},
                "sizes": {size: preset_fields(size) for size in SIZES},
            },
            needs=(prepare,),
            receipt=cost_folder / "receipts" / "cost.json",
            outputs=(cost_folder / "cost.json",),
            command="rediffuse cost --record",
        )
    )
    evaluated = [real, cost]
    for run in [*loaded.runs.values(), *loaded.ablations.values()]:
        for seed in run.seeds:
            evaluated += [job for job in _add_run(add, run, seed, prepare, reference, evaluation) if not job.ablation]
    for model in loaded.generators.values():
        for seed in model.seeds:
            evaluated += _add_generator(add, model, seed, prepare, reference, evaluation)
    evidence = root / evidence_file(name)
    out = Path("reports", name)
    add(
        Job(
            stage="report",
            name="report",
            settings={
                # Tracking watches a study; it is not part of what the report says.
                "study": study.model_dump(mode="json", exclude={"tracking"}),
                "ablations": sha256(evidence) if evidence.exists() else None,
            },
            needs=tuple(evaluated),
            receipt=out / "evidence" / "receipt.json",
            outputs=tuple(out / file for file in ("report.html", "report.md", "metrics.json", "claims.json")),
            command="rediffuse report",
        )
    )
    return Plan(name, jobs)


def _job_of(
    run: ResolvedRun | ResolvedGenerator, seed: int, stage: str, settings: dict[str, Any], needs: tuple[Job, ...],
    outputs: list[Path],
) -> Job:  # fmt: skip
    """A job of one run or one-pass model and one seed."""
    return Job(
        stage=stage,
        name=f"{stage}/{run.name}/seed{seed}",
        settings=settings,
        needs=needs,
        receipt=run.folder(seed) / "receipts" / f"{stage}.json",
        outputs=tuple(outputs),
        command=f"rediffuse {stage} {run.name} --seed {seed}",
        ablation=run.role == "ablation",
    )


def _evaluation(loaded: LoadedStudy, root: Path) -> dict[str, Any]:
    """What a study is scored with. Of weights: which they are, not where they lie."""
    evaluation = loaded.study.evaluation
    digests = weights_digests(evaluation, root)
    values = evaluation.model_dump(mode="json", exclude={"weights_sha256": True, "lpips": True})
    values["weights"], values["lpips"] = digests.get("weights"), None
    if (lpips := evaluation.lpips) is not None:
        files = {name: digests.get(f"lpips.{name}") for name in ("weights", "heads")}
        values["lpips"] = {"network": lpips.network, "size": lpips.size, **files}
    return values


def _judged(run: ResolvedRun | ResolvedGenerator, evaluation: dict[str, Any]) -> dict[str, Any]:
    """What an evaluation depends on besides the samples."""
    return {"evaluation": _scoring(evaluation), "role": run.role, "study": run.study}


def _scoring(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What the scoring of samples depends on: other stages take the rest."""
    return {
        key: value for key, value in evaluation.items() if key not in ("likelihood_images", "during_training", "lpips")
    }


def _examined(run: ResolvedRun | ResolvedGenerator, evaluation: dict[str, Any]) -> dict[str, Any]:
    """What an examination depends on besides the samples."""
    perceptual = {} if evaluation["lpips"] is None else {"lpips": evaluation["lpips"]}
    return {**_judged(run, evaluation), "setting": run.shown_setting()[0], **perceptual}


def _add_generator(
    add: Any, model: ResolvedGenerator, seed: int, prepare: Job, reference: Job, evaluation: dict[str, Any]
) -> list[Job]:
    """Add the jobs of a one-pass model and seed; those that judge its images, which need the others, are returned."""
    folder, values = model.folder(seed), model.model_dump(mode="json")
    fit = {"seed": seed, **{name: values[name] for name in ("data", "hardware", "training")}}
    fit["generator"] = {name: values[name] for name in ("kind", "latent", "channels", "critic_norm")}
    made = [folder / "run.yaml", folder / "weights.safetensors", folder / "history.csv"]
    made += [folder / "previews" / f"step-{step:06d}.png" for step in model.training.preview_steps]
    if model.kind == "vae":
        fit["likelihood"] = {"images": model.evaluation.likelihood_images}
        made.append(folder / "likelihood" / "nll.json")
    trained = add(_job_of(model, seed, "fit", fit, (prepare,), made))
    drawing = {name: values["sampling"][name] for name in ("images", "batch_size")}
    files = [f"{setting}" for setting, _, _ in model.settings()]
    drawn = add(
        _job_of(
            model, seed, "draw", {"sampling": drawing}, (trained,), [folder / "samples" / f"{f}.npz" for f in files]
        )
    )
    metrics = [folder / "metrics" / f"{file}.json" for file in files]
    examination = [folder / "examination" / "examination.json"]
    return [
        add(_job_of(model, seed, "evaluate", _judged(model, evaluation), (drawn, reference), metrics)),
        add(_job_of(model, seed, "examine", _examined(model, evaluation), (drawn, reference), examination)),
    ]


def _cost_settings(run: ResolvedRun) -> dict[str, Any]:
    """What a run's network and the batches it sees follow from."""
    values = run.model_dump(mode="json")
    return {
        "network": values["network"],
        "variance": run.diffusion.variance,
        "training": {key: values["training"][key] for key in ("batch_size", "accumulate")},
        "sampling": {key: values["sampling"][key] for key in ("batch_size", "images")},
    }


def _add_run(
    add: Any, run: ResolvedRun, seed: int, prepare: Job, reference: Job, evaluation: dict[str, Any]
) -> list[Job]:
    """Add the jobs of a run and seed; those that the report reads are returned."""
    folder = run.folder(seed)
    values = run.model_dump(mode="json")
    settings = [setting for setting, _, _ in run.settings()]
    ablation = run.role == "ablation"

    def job(stage: str, settings: dict[str, Any], needs: tuple[Job, ...], outputs: list[Path]) -> Job:
        return add(_job_of(run, seed, stage, settings, needs, outputs))

    previews = [folder / "previews" / f"step-{step:06d}.png" for step in run.preview_steps]
    learned = {name: values[name] for name in (IMPORT_SETTINGS if run.weights else TRAIN_SETTINGS)}
    if run.weights is not None:
        learned["weights"] = {"sha256": run.weights.sha256}
    scored = [folder / "during-training" / f"step-{step:06d}.npz" for step in run.scored_steps]
    if run.during_training is not None:
        learned["during_training"] = run.during_training.model_dump(mode="json")
    train = job(
        "train",
        {"seed": seed, **learned},
        (prepare,),
        [folder / "run.yaml", folder / "weights.safetensors", folder / "history.csv", *previews, *scored],
    )
    guides: list[Job] = []
    if run.classifier is not None:
        guides.append(
            job(
                "classifier",
                {"seed": seed, **{name: values[name] for name in ("data", "hardware", "classifier")}}
                | {"diffusion": {name: values["diffusion"][name] for name in ("schedule", "timesteps")}},
                (prepare,),
                [folder / name for name in ("classifier.safetensors", "classifier.json", "classifier-history.csv")],
            )
        )
    sample = job(
        "sample",
        {"sampling": values["sampling"]},
        (train, *guides),
        [folder / "samples" / f"{setting}.npz" for setting in settings],
    )
    evaluate = job(
        "evaluate",
        _judged(run, evaluation),
        (sample, reference),
        [folder / "metrics" / f"{setting}.json" for setting in settings],
    )
    if ablation:
        return [evaluate]
    nll = job(
        "nll",
        {"images": run.evaluation.likelihood_images, "batch_size": run.sampling.batch_size},
        (train, prepare),
        [folder / "likelihood" / "nll.json", folder / "likelihood" / "terms.csv"],
    )
    restore = job(
        "restore",
        {"restoration": values["restoration"]},
        (train, prepare),
        [folder / "restoration" / "psnr.json", folder / "restoration" / "images.npz"],
    )
    examine = job(
        "examine",
        _examined(run, evaluation),
        (sample, reference, *((train,) if scored else ())),
        [folder / "examination" / "examination.json", *([folder / "examination" / "training.json"] if scored else [])],
    )
    return [evaluate, nll, restore, examine, *guides]
