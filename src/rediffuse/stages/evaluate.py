"""Stage `evaluate`: the samples of a run become numbers."""

import numpy as np

from rediffuse.config import ResolvedGenerator, ResolvedRun
from rediffuse.files import write_json
from rediffuse.stages.context import Context, Stopwatch, keep_only, set_threads, working, write_timing
from rediffuse.stages.samples import read_samples
from rediffuse.stages.scoring import Judge, metrics_record
from rediffuse.tracking import log_evaluation, log_now


def evaluate(context: Context, run: ResolvedRun | ResolvedGenerator, seed: int) -> None:
    """Write metrics/<setting>.json for every setting of the run or one-pass model."""
    set_threads(run)
    job = context.plan.find("evaluate", run.name, seed)
    folder = context.folder(run, seed)
    watch = Stopwatch()
    with working(context, job):
        judge = Judge(context)
        for setting, key, steps in run.settings():
            samples = read_samples(folder / "samples" / f"{setting}.npz")
            images, label = samples.images, f"score {run.name} {setting}"
            if run.asks_classes(key):
                labels = np.arange(len(images)) % len(judge.images.class_names)
                scores = judge.score_classes(images, labels, run.evaluation.groups, label)
            else:
                scores = judge.score(images, run.evaluation.groups, label)
            record = metrics_record(run, seed, setting, key, steps, samples.nfe)
            write_json(folder / "metrics" / f"{setting}.json", {**record, **scores})
        keep_only(folder / "metrics", {path.name for path in job.outputs})
    write_timing(folder / "timing" / "evaluate.json", job, run, seconds=watch.seconds)
    log_now(log_evaluation, context, run, seed)
