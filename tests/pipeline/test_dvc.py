"""DVC, Snakemake and the receipts agree on what is out of date, and every command of the README works: the scenarios a user
meets, with the real tools.
"""

import csv
import json
import re
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from tests.pipeline.conftest import ONE_RUN, ROOT, Clone, changed, jobs, logged

IMPROVED = jobs("improved", "train", "sample", "evaluate", "examine", "nll", "restore")


def test_dvc_after_snakemake_computes_nothing_again(built: Clone, repeated: Clone):
    assert repeated.results() == built.results()
    assert repeated.worked() == built.worked()


def test_a_second_dvc_repro_changes_nothing(repeated: Clone):
    before, lock = repeated.worked(), (repeated.folder / "dvc.lock").read_bytes()
    assert "up to date" in repeated.run("dvc repro")
    assert changed(before, repeated.worked()) == set()
    assert (repeated.folder / "dvc.lock").read_bytes() == lock
    assert "up to date" in repeated.run("dvc status")
    assert repeated.run("git status --porcelain") == ""


def test_dvc_stages_are_the_jobs_of_the_plan(repeated: Clone):
    listed = {line.split()[0] for line in repeated.run("dvc stage list").splitlines()}
    jobs = {line.split()[0] for line in repeated.run("rediffuse status").splitlines()}
    study = yaml.safe_load((repeated.folder / "params.yaml").read_text())
    wanted = set()
    for job in jobs:
        stage, *rest = job.split("/")
        if not rest:
            wanted.add(stage)
        elif rest[0] not in study["ablations"]:
            kind = "-generators" if stage in ("evaluate", "examine") and rest[0] in study["generators"] else ""
            wanted.add(f"{stage}{kind}@{rest[0]}-{rest[1].removeprefix('seed')}")
    assert listed == wanted


def test_dvc_keeps_every_file_a_receipt_names(repeated: Clone):
    kept = repeated.run("dvc list . --dvc-only -R").splitlines()
    for receipt in repeated.folder.glob("runs/smoke/*/seed0/receipts/*.json"):
        assert [name for name in json.loads(receipt.read_text())["outputs"] if name not in kept] == []


def test_a_fresh_clone_is_up_to_date_after_dvc_pull(pulled: Clone):
    assert "up to date" in pulled.run("dvc status")
    states = [line.split(maxsplit=1)[1] for line in pulled.run("rediffuse status").splitlines()]
    assert set(states) == {"up to date", "never made"}  # what was never made are the ablations
    assert states.count("up to date") == len(pulled.made())


def test_one_parameter_in_a_fresh_clone_rebuilds_that_run_and_the_report_alone(pulled: Clone, edited: Clone):
    weights = "runs/smoke/*/seed0/weights.safetensors"
    before, after = pulled.digests(weights), edited.digests(weights)
    assert [name for name in after if after[name] != before[name]] == ["runs/smoke/improved/seed0/weights.safetensors"]
    receipt = json.loads((edited.folder / "runs/smoke/improved/seed0/receipts/train.json").read_text())
    assert receipt["settings"]["training"]["learning_rate"] == 5e-4
    logs = {path.name for path in (edited.folder / "state/smoke/logs").rglob("*.log")}
    assert logs == {"improved-seed0.log", "report.log"}


def test_make_killed_with_all_it_started_goes_on_and_ends_with_the_same_bytes(
    repeated: Clone, edited: Clone, tmp_path: Path
):
    # The same parameter is changed where everything was built, so that one run and the report have to be made again.
    clone = repeated.copy(tmp_path / "project")
    before = clone.worked()
    clone.edit("params.yaml", *ONE_RUN)
    assert clone.kill_when_written("make repro INSTALLED=", "state/smoke/improved/seed0/train/checkpoint.pt")

    clone.run("make repro INSTALLED=")

    assert changed(before, clone.worked()) == {*IMPROVED, "report"}
    assert clone.results() == edited.results()
    assert "up to date" in clone.run("dvc status")


def test_ablations_run_side_by_side_from_a_fresh_store_and_enter_the_report(repeated: Clone, ablated: Clone):
    assert ablated.digests("runs/smoke/*/seed0/**/*.*") == repeated.digests("runs/smoke/*/seed0/**/*.*")
    with (ablated.folder / "reports/smoke/tables/ablations.csv").open(newline="") as file:
        states = {row["Run or ablation"]: row["State"] for row in csv.DictReader(file)}
    names = yaml.safe_load((ablated.folder / "params.yaml").read_text())["ablations"]
    assert {states[name] for name in names} == {"complete"}
    runs = logged(ablated)
    assert {run["rediffuse.run"] for run in runs if run.get("rediffuse.role") == "ablation"} == set(names)


README = (ROOT / "README.md").read_text()
COMMANDS = [line.split("  #")[0].strip() for line in README.splitlines() if line.startswith("    ")]


@pytest.fixture(scope="module")
def reader(ablated: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the clone in which everything was built, for the commands of the README in their order."""
    return ablated.copy(tmp_path_factory.mktemp("readme") / "project")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_works(reader: Clone, command: str):
    if command == "make test":
        # These are the tests it runs.
        assert "pytest" in reader.run("make --dry-run test INSTALLED=")
    elif command.startswith("make"):
        reader.run(f"{command} INSTALLED=")
    elif command.startswith("mlflow ui"):
        server = reader.start(f"exec {command} --port 5099")
        try:
            assert "MLflow" in page("http://127.0.0.1:5099", server)
        finally:
            server.terminate()
            server.communicate()
    else:
        reader.run(command)


def page(address: str, server, seconds: float = 120) -> str:
    """What a server answers, once it does."""
    end = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(address, timeout=5).read().decode()
        except OSError:
            assert server.poll() is None, "the server has stopped"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.5)


def test_pictures_and_links_of_the_readme_are_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / Path(link)).exists()] == []
