"""What a scheduler is asked for: as declared, or by what a job took before; a GPU where the study computes on one."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.resources import resources
from rediffuse.pipeline.stage import stages
from tests.cluster.conftest import needs
from tests.pipeline.conftest import ROOT, Clone

TSV = Path("benchmark.tsv")
#: The commands of docs/cluster.md.
PAGE = re.findall(r"^    (\S.*?)(?: +#.*)?$", (ROOT / "docs/cluster.md").read_text(), re.M)


def asked(context: Context, stage: str, attempt: int = 1) -> tuple[int, int]:
    """Minutes and MiB."""
    job = context.plan.find(stage) if stages()[stage].scope == "study" else context.plan.find(stage, "baseline", 0)
    needed = resources(job, context.root, TSV, "cpu")
    return needed["runtime"](None, attempt), needed["mem_mb"](None, attempt)


@pytest.fixture
def context(here: Context, tmp_path: Path) -> Context:
    """The study in a folder where nothing was made."""
    return Context(tmp_path, here.loaded, here.plan)


def test_what_was_never_made_asks_for_what_its_stage_declares_and_for_twice_that_when_it_failed(context: Context):
    train = stages()["train"]
    assert asked(context, "train") == (train.minutes, train.memory_mb)
    assert asked(context, "train", attempt=2) == (2 * train.minutes, 2 * train.memory_mb)


def test_what_was_made_asks_for_three_times_its_seconds_and_half_as_much_again_as_it_held(context: Context):
    timing = context.root / context.plan.find("sample", "baseline", 0).timing
    timing.parent.mkdir(parents=True)
    timing.write_text(json.dumps({"seconds": 1000}))
    (context.root / TSV).write_text("s\tmax_rss\n1000\t4000.0\n")
    assert asked(context, "sample") == (50, 6000)


def test_a_training_counts_by_its_steps(context: Context):
    timing = context.root / context.plan.find("train", "baseline", 0).timing
    timing.parent.mkdir(parents=True)
    timing.write_text(json.dumps({"seconds": 1000, "steps": 150}))  # it now takes 300
    assert asked(context, "train")[0] == 100


def test_seconds_ask_for_ten_minutes_and_two_gigabytes_at_least(here: Context):
    (here.root / TSV).write_text("s\tmax_rss\n1\t300.0\n")
    assert asked(here, "prepare") == (10, 2000)


def test_only_what_computes_asks_for_a_gpu_and_only_where_the_study_has_one(context: Context):
    def with_gpu(device: str) -> set[str]:
        jobs = context.plan.jobs.values()
        return {job.stage for job in jobs if resources(job, context.root, TSV, device).get("gpu") == 1}

    assert with_gpu("cpu") == set()
    assert {"train", "sample", "evaluate"} <= with_gpu("cuda")
    assert "prepare" not in with_gpu("cuda")


def test_a_pod_asks_for_the_memory_cores_and_gpus_of_its_job_on_the_shared_volume(tmp_path: Path):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat > {tmp_path}/manifest.yaml\necho job.batch/rediffuse-x\n")
    kubectl.chmod(0o755)
    names = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDIFFUSE_IMAGE": "python:3.11", "REDIFFUSE_CLAIM": "shared"}
    command = [ROOT / "profiles/kubernetes/job", "submit", "2", "8000", "1", "/project/job.sh"]
    said = subprocess.run(command, env=names, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    pod = yaml.safe_load((tmp_path / "manifest.yaml").read_text())["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert said == "job.batch/rediffuse-x\n"
    assert container["command"] == ["sh", "/project/job.sh"]
    assert container["resources"]["limits"] == {"memory": "8000Mi", "nvidia.com/gpu": "1"}
    assert container["volumeMounts"] == [{"name": "project", "mountPath": str(tmp_path.parent)}]
    assert pod["volumes"] == [{"name": "project", "persistentVolumeClaim": {"claimName": "shared"}}]


@pytest.mark.parametrize(
    ("conditions", "said"), [("Complete", "success"), ("FailureTarget Failed", "failed"), ("", "running")]
)
def test_a_pod_is_said_to_have_ended_as_it_did(tmp_path: Path, conditions: str, said: str):
    (tmp_path / "kubectl").write_text(f"#!/bin/sh\necho {conditions}\n")
    (tmp_path / "kubectl").chmod(0o755)
    names = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = [ROOT / "profiles/kubernetes/job", "status", "job.batch/rediffuse-x"]
    assert subprocess.run(command, env=names, check=True, capture_output=True, text=True).stdout == f"{said}\n"


@needs("cluster-generic")
def test_a_training_that_processes_share_asks_a_cluster_for_more_than_the_machine_has_that_sends_it(
    clone: Clone, content: dict[str, Any], tmp_path: Path
):
    project = clone.copy(tmp_path / "project")
    project.run("rediffuse prepare")
    shared = {**content, "hardware": {**content["hardware"], "device": "cuda", "threads": 2, "processes": 4}}
    (project.folder / "params.yaml").write_text(yaml.safe_dump(shared))
    (tmp_path / "bin").mkdir()
    kubectl = tmp_path / "bin/kubectl"
    kubectl.write_text(f"#!/bin/sh\n[ $1 = get ] && echo Failed || cat >> {tmp_path}/manifest.yaml\n")
    kubectl.chmod(0o755)
    project.environment |= {"REDIFFUSE_IMAGE": "python:3.11", "REDIFFUSE_CLAIM": "shared"}
    project.environment["PATH"] = f"{tmp_path}/bin:{project.environment['PATH']}"
    # As DVC's stages call it, on a machine of one core.
    project.run("SNAKEMAKE_PROFILE=profiles/kubernetes snakemake --cores 1 --retries 0 -- trained", code=1)
    [container] = yaml.safe_load((tmp_path / "manifest.yaml").read_text())["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "4"
    assert container["resources"]["requests"]["cpu"] == "8"


@pytest.mark.parametrize(("options", "gpus"), [("", 1), ("--resources gpu=2", 2), ("--resources gpu=8", 4)])
def test_on_one_machine_a_training_takes_as_many_of_the_gpus_as_there_are(
    clone: Clone, content: dict[str, Any], tmp_path: Path, options: str, gpus: int
):
    project = clone.copy(tmp_path / "project")
    project.run("rediffuse prepare")
    shared = {**content, "hardware": {**content["hardware"], "device": "cuda", "processes": 4}}
    (project.folder / "params.yaml").write_text(yaml.safe_dump(shared))
    project.edit(
        "workflow/rules/jobs.smk", 'f"{stage.doing}: {job.name}"', 'f"{stage.doing}: {job.name}, {{resources.gpu}}"'
    )
    assert f"Training: train/baseline/seed0, {gpus}\n" in project.run(f"snakemake -n {options} -- train")


DRY_RUNS = {
    # What DVC's stages call, with what docs/cluster.md sets for `dvc repro`.
    "slurm": "SNAKEMAKE_PROFILE=profiles/slurm snakemake -n --cores all --",
    "cluster-generic": next(line for line in PAGE if line.startswith("snakemake --profile profiles/kubernetes")),
}


@pytest.mark.parametrize("executor", [pytest.param(name, marks=needs(name)) for name in DRY_RUNS])
def test_snakemake_takes_the_profiles(clone: Clone, executor: str):
    assert "Training: train/baseline/seed0" in clone.run(f"{DRY_RUNS[executor]} trained")
