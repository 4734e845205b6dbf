"""Stage `cost`: what the study's networks cost, exactly and by the clock."""

from typing import Any

from rediffuse.formats import write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.stage import Stage, Subject
from rediffuse.runs import facts


def settings(subject: Subject) -> dict[str, Any]:
    """What the U-Nets of the main runs, and the batches they see, follow from."""
    from rediffuse.models.presets import preset_fields

    runs = {}
    for run in subject.loaded.runs.values():
        if not facts.is_one_pass(run) and run.diffusion is not None:
            runs[run.name] = {
                "network": run.network.model_dump(mode="json"),
                "variance": run.diffusion.variance,
                "training": run.training.model_dump(mode="json", include={"batch_size", "accumulate"}),
                "sampling": run.sampling.model_dump(mode="json", include={"batch_size", "images"}),
            }
    study = subject.loaded.study
    return {
        "hardware": study.hardware.model_dump(mode="json"),
        "compile": study.cost.compile,
        "runs": runs,
        "presets": {name: _as_read(preset_fields(name)) for name in study.cost.presets},
    }


def _as_read(fields: dict[str, Any]) -> dict[str, Any]:
    """With lists for tuples, as a receipt gives them back."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


STAGE = Stage(
    "cost",
    "Measure what the study's networks cost.",
    doing="Measuring what the networks cost",
    done="costs",
    scope="study",
    folder="runs/{study}/cost",
    needs=("prepare",),
    settings=settings,
    files=lambda subject: ("cost.json",),
    keeps=("cost.json",),
    first=1,  # long jobs before short ones, so that at the end no core waits for one of them
    alone=True,
)


def run(job: Job, context: Context) -> dict[str, Any]:
    """Write cost.json (exact: the same everywhere); what was measured belongs to this machine."""
    import torch

    from rediffuse.cost.study import exact_record, measured_record, network_config
    from rediffuse.data.image_set import open_image_set

    study = context.loaded.study
    torch.set_num_threads(study.hardware.threads)
    image_set = open_image_set(context.data_folder)
    runs = {name: context.loaded.run(name) for name in job.settings["runs"]}
    configs = {name: network_config(one, image_set) for name, one in runs.items()}
    exact = exact_record(configs, job.settings["presets"])
    write_json(context.root / job.outputs[0], {"study": study.study, **exact})
    return measured_record(configs, runs, study.hardware, try_compile=study.cost.compile)
