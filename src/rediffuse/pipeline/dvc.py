"""DVC's view of the pipeline: dvc.yaml, written from the stages' declarations, and the plan files it depends on.

Stage `plan` turns the source and params.yaml into one small file a job, which holds its settings, its code's digest and
its key. Each other stage depends on its plan file and on the receipts of what it needs. So a comment reruns `plan`
alone, and a changed setting the stages whose plan files then differ.
"""

from pathlib import Path
from typing import Any

import yaml

from rediffuse.files import remove, write_atomically
from rediffuse.formats import json_text, write_json
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.evidence import evidence_file, mend
from rediffuse.pipeline.glance import plan_file
from rediffuse.pipeline.outside import INPUTS, LINKS, link
from rediffuse.pipeline.stage import Stage, stages
from rediffuse.runs import facts

FILLED = {
    "study": "${study}",
    "data": "${data.name}",
    "features": "${evaluation.features}",
    "run": "${item.run}",
    "seed": "${item.seed}",
}
HEAD = (
    "# Written by `rediffuse plan --dvc` from the declarations in src/rediffuse/stages; a test holds them together.\n"
    "# What is out of date is decided once, by keys and receipts (src/rediffuse/pipeline): "
    "stage `plan` writes one file a job,\n"
    "# and every other stage depends on its plan file and on the receipts of what it needs. Snakemake executes.\n"
)


def dvc_yaml() -> str:
    """The content of dvc.yaml."""
    plan = {
        "cmd": "rediffuse plan",
        "deps": ["params.yaml", "src/rediffuse", *(f"{INPUTS}/{name}" for name in LINKS)],
        "outs": [
            {"plan/${study}": {"persist": True}},
            {str(evidence_file("${study}")): {"persist": True, "cache": False}},  # which it puts back where it is gone
        ],
    }
    entries = {stage.name: _entry(stage) for stage in stages().values()}
    content = {
        "stages": {"plan": plan, **entries},
        "params": ["params.yaml"],
        "metrics": ["reports/${study}/metrics.json"],
    }
    return HEAD + yaml.safe_dump(content, sort_keys=False, width=120)


def _entry(stage: Stage) -> dict[str, Any]:
    of_run = stage.scope == "run"
    reported = stage.name == "report"
    deps = [str(plan_file("${study}", stage.name, "${item.run}" if of_run else None, "${item.seed}"))]
    for name in stage.needs:
        need = stages()[name]
        if need.scope == "run" and not of_run:
            deps += ["runs/${study}"] if "runs/${study}" not in deps else []
        elif not (need.scope == "study" and "runs/${study}" in deps):
            deps.append(_receipt(need))
    if reported:
        deps.append(str(evidence_file("${study}")))
    folder = stage.folder.format(**FILLED)
    kept = [f"{folder}/{name.format(**FILLED).rstrip('/')}" for name in stage.keeps]
    options = {"persist": True, **({"cache": False} if reported else {})}
    outs: list[dict[str, Any]] = [{path: dict(options)} for path in kept]
    outs.append({_receipt(stage): {"persist": True}})
    verb = f"rediffuse build {stage.name}"
    return {
        **({"matrix": {"run": "${runs}", "seed": "${seeds}"}} if of_run else {}),
        "cmd": f"{verb} ${{item.run}} --seed ${{item.seed}}" if of_run else verb,
        "deps": deps,
        "outs": outs,
    }


def _receipt(stage: Stage) -> str:
    return (stage.receipt or f"{stage.folder}/receipts/{stage.name}.json").format(**FILLED)


def write_plan(context: Context) -> None:
    """Write plan/<study>/: a file for each job that DVC has a stage for, rewritten only where its content changed.

    A matrix has a stage for every run: one that has no such job gets a file that says so.
    """
    study, root = context.plan.study, context.root
    link(context.loaded, root)
    files: dict[Path, Any] = {}
    for stage in stages().values():
        if stage.scope == "study":
            files[plan_file(study, stage.name)] = context.plan.find(stage.name).places()
            continue
        for run in context.loaded.runs.values():
            for seed in run.seeds:
                path = plan_file(study, stage.name, run.name, seed)
                if context.plan.has(stage.name, run.name, seed):
                    files[path] = context.plan.find(stage.name, run.name, seed).places()
                else:
                    files[path] = _absent(context, stage, run.name, seed)
    for path, content in files.items():
        place, text = root / path, json_text(content).encode()
        if not place.is_file() or place.read_bytes() != text:
            remove(place)
            write_atomically(place, text, lasting=False)  # of thousands; one that is damaged is written anew
    for path in (root / "plan" / study).iterdir():
        if path.relative_to(root) not in files:
            remove(path)
    for absent in files.values():
        if absent["says"] is None and not any(
            (root / path).exists() for path in (absent["receipt"], *absent["outputs"])
        ):
            _leave_empty(root, absent)  # here, at once: DVC asks for one after the other
    mend(root, study)


def _absent(context: Context, stage: Stage, run: str, seed: int) -> dict[str, Any]:
    """What the plan file of a job says that a run does not have."""
    folder = facts.folder(context.loaded.run(run), seed)
    return {
        "job": f"{stage.name}/{run}/seed{seed}",
        "says": None,
        "receipt": str(folder / "receipts" / f"{stage.name}.json"),
        "outputs": [str(folder / kept) for kept in stage.keeps if kept.endswith("/")],
    }


def leave_empty(context: Context, stage: Stage, run: str, seed: int) -> None:
    """Make what DVC wants to see of a stage that a run does not have: empty folders, and a receipt that says so."""
    _leave_empty(context.root, _absent(context, stage, run, seed))


def _leave_empty(root: Path, absent: dict[str, Any]) -> None:
    for folder in absent["outputs"]:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for path in (root / folder).iterdir():
            remove(path)
    remove(root / absent["receipt"])
    write_json(root / absent["receipt"], {"job": absent["job"], "key": None})
