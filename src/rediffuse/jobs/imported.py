"""What training is for a run whose weights were trained elsewhere: they are taken, checked, in place of training."""

from typing import Any

from rediffuse.data.image_set import ImageSet
from rediffuse.files import write_atomically
from rediffuse.interop.imported import checked_weights
from rediffuse.jobs.training import write_settings
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.plan import Job
from rediffuse.runs.networks import build_network
from rediffuse.weights import write_weights

# What a history must have as columns; there is nothing to put into them.
HISTORY = "step,loss,grad_norm\n"


def take_weights(job: Job, context: Context, image_set: ImageSet) -> dict[str, Any]:
    """Write run.yaml, weights.safetensors and a history.csv without rows, from the folder that the run names.

    Raises:
        UserError: the folder is not there, its weights are not those the study names, or their network is another.
    """
    run, folder = job.run, context.root / job.folder
    state = checked_weights(run, build_network(run, image_set).config, context.root)
    write_weights(folder / "weights.safetensors", state, {"job": job.name})
    write_atomically(folder / "history.csv", HISTORY)
    count = sum(value.numel() for value in state.values())
    write_settings(job, context, (count, count))
    return {}
