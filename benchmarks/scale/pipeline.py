"""What the pipeline itself takes where nothing is to be done, by the number of runs:
`python -m benchmarks.scale.pipeline`.

The studies are made up: each file that a job would make holds a line, and has a receipt as if the job had made it, so
that every command finds all jobs up to date.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from benchmarks.reliability.project import end_all, every_stage, family, opened, scratch, stale
from benchmarks.scale import RESULTS, record
from tests.pipeline.conftest import Clone, new_clone

from rediffuse.formats import write_json
from rediffuse.pipeline import snakemake
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.dvc import leave_empty
from rediffuse.pipeline.receipts import write_receipt
from rediffuse.pipeline.stage import stages

#: In this order: DVC knows of what lies there once it is committed.
COMMANDS = {
    "plan": "rediffuse plan",
    "status": "rediffuse status",
    "make": "rediffuse make",
    "snakemake": " ".join(snakemake.command("measured", cores="2")).replace(sys.executable, "python"),
    "dvc commit": "dvc commit --quiet --force",
    "dvc": "dvc repro",
    "dvc first": "rm dvc.lock && dvc repro",
}


def study(runs: int) -> str:
    """The study of seconds with so many runs, which differ in their learning rates."""
    content = yaml.safe_load(every_stage())
    content["runs"] = {"baseline": {"role": "baseline"}}
    for number in range(1, runs):
        content["runs"][f"run{number}"] = {"training": {"learning_rate": 1e-3 * (1 + number / 1000)}}
    return yaml.safe_dump(content, sort_keys=False)


def made_up(folder: Path, runs: int) -> Clone:
    """A project in which a study of so many runs seems to be built."""
    clone = new_clone(folder)
    (folder / "params.yaml").write_text(study(runs))
    clone.run("git add -A && git commit -qm 'the study'")
    context = opened(clone)
    root, kept, Digests.kept = context.root, Digests.kept, False  # reading what is known anew for each job takes longer
    for job in context.plan.jobs.values():
        for path in (*job.outputs, *job.loose):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(f"{job.name}\n") if path.suffix else (root / path).mkdir(exist_ok=True)
        for kept in job.declaration.keeps:
            if kept.endswith("/"):  # as a job leaves it, also where it makes nothing there
                (root / job.folder / kept).mkdir(parents=True, exist_ok=True)
        loose = {str(path): Digests(root).of(path) for path in job.loose}
        write_json(root / job.timing, {"job": job.name, "key": job.key, "seconds": 1.0, "loose": loose})
        write_receipt(job, root)
    Digests.kept = kept
    for stage in stages().values():
        for run in context.loaded.runs if stage.scope == "run" else ():
            if not context.plan.has(stage.name, run, 0):
                leave_empty(context, stage, run, 0)
    return clone


def timed(clone: Clone, command: str, limit: float) -> dict[str, Any]:
    """Seconds by the clock and of the processor that a command takes; of what took too long only that."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = clone.start(command)
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        end_all(family(process.pid))
        process.communicate()
        return {"over": limit}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {"seconds": round(time.monotonic() - start, 1), "cpu": round(cpu, 1)}
    return found if process.returncode == 0 else {**found, "failed": output[-600:]}


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="*", default=[10, 100, 1000], help="of the studies")
    parser.add_argument("--only", nargs="*", choices=COMMANDS, default=list(COMMANDS), help="time only these")
    parser.add_argument("--limit", type=float, default=600, help="seconds that a command may take")
    parser.add_argument("--folder", type=Path, default=Path("state/scale"), help="to work in: new, deleted at the end")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the figures are written")
    options = parser.parse_args(words)
    with scratch(options.folder) as folder:
        for runs in options.runs:
            began = time.monotonic()
            clone = made_up(folder / str(runs), runs)
            assert stale(clone) == [], "not everything is up to date"
            jobs = opened(clone).plan.jobs
            found: dict[str, Any] = {"jobs": len(jobs), "files": sum(len(job.outputs) for job in jobs.values())}
            for name in options.only:
                found[name] = timed(clone, COMMANDS[name], options.limit)
                print(runs, name, found[name], flush=True)
                record(f"pipeline-{runs}", "pipeline", options.results, began, found)
            shutil.rmtree(clone.folder)


if __name__ == "__main__":
    main()
