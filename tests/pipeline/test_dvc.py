"""DVC, Snakemake and the receipts agree on what is out of date, and every command of the README works: the
scenarios a user meets, with the real tools.
"""

import csv
import json
import re
import subprocess
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from rediffuse.pipeline.dvc import dvc_yaml
from rediffuse.pipeline.glance import is_ready
from tests.pipeline.conftest import ONE_RUN, ROOT, Clone, changed, jobs, logged

OF_TRAINED = ("train", "corrections", "follow", "sample", "evaluate", "examine", "nll", "probe", "restore", "trace")
IMPROVED = jobs("improved", *OF_TRAINED)


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


def test_dvc_has_a_stage_for_every_main_job_and_those_that_a_run_has_not_leave_empty_folders(repeated: Clone):
    listed = {line.split()[0] for line in repeated.run("dvc stage list").splitlines()}
    study = yaml.safe_load((repeated.folder / "params.yaml").read_text())
    wanted = set()
    for line in repeated.run("rediffuse status").splitlines():
        stage, *rest = line.split()[0].split("/")
        if not rest:
            wanted.add(stage)
        elif rest[0] in study["runs"]:
            wanted.add(f"{stage}@{rest[0]}-{rest[1].removeprefix('seed')}")
    assert wanted <= listed
    absent = listed - wanted - {"plan"}
    assert {"classifier@baseline-0", "nll@dcgan-0", "restore@vae-0"} <= absent
    assert list((repeated.folder / "runs/smoke/dcgan/seed0/likelihood").iterdir()) == []


def test_what_a_run_has_not_is_settled_at_a_glance_and_planning_deletes_nothing_there(repeated: Clone):
    assert is_ready(repeated.folder, "nll", "dcgan", 0)
    kept = repeated.folder / "runs/smoke/dcgan/seed0/likelihood/of-an-earlier-study.json"
    kept.write_text("{}")
    assert not is_ready(repeated.folder, "nll", "dcgan", 0)
    repeated.run("rediffuse plan")
    assert kept.exists()
    repeated.run("rediffuse build nll dcgan --seed 0")
    assert not kept.exists()
    assert is_ready(repeated.folder, "nll", "dcgan", 0)


def test_dvc_yaml_is_what_the_declarations_say():
    assert (ROOT / "dvc.yaml").read_text() == dvc_yaml()


def test_dvc_keeps_every_file_a_receipt_names(repeated: Clone):
    kept = repeated.run("dvc list . --dvc-only -R").splitlines()
    for receipt in repeated.made():
        outputs = json.loads(receipt.read_text())["outputs"]
        assert [name for name in outputs if not name.startswith("reports/") and name not in kept] == []


def test_a_fresh_clone_is_up_to_date_after_dvc_pull(pulled: Clone):
    assert "up to date" in pulled.run("dvc status")
    states = dict(line.split(maxsplit=1) for line in pulled.run("rediffuse status").splitlines())
    assert states.pop("report") == "reports/smoke/report.html is missing"  # it holds times, and lies in no store
    assert set(states.values()) == {"up to date", "never made"}  # what was never made are the ablations
    assert len([state for state in states.values() if state == "up to date"]) == len(pulled.made()) - 1


def test_one_parameter_in_a_fresh_clone_rebuilds_that_run_and_the_report_alone(pulled: Clone, edited: Clone):
    weights = "runs/smoke/*/seed0/weights.safetensors"
    before, after = pulled.digests(weights), edited.digests(weights)
    assert [name for name in after if after[name] != before[name]] == ["runs/smoke/improved/seed0/weights.safetensors"]
    receipt = json.loads((edited.folder / "runs/smoke/improved/seed0/receipts/train.json").read_text())
    assert receipt["settings"]["training"]["learning_rate"] == 5e-4
    assert set(edited.worked()) == {*IMPROVED, "report"}


def test_make_killed_with_all_it_started_goes_on_and_ends_with_the_same_bytes(
    repeated: Clone, edited: Clone, tmp_path: Path
):
    # The same parameter is changed where everything was built, so that one run and the report have to be made again.
    clone = repeated.copy(tmp_path / "project")
    before = clone.worked()
    clone.edit("params.yaml", *ONE_RUN)
    assert clone.kill_when_written("make repro INSTALLED=", "state/smoke/improved/seed0/train/checkpoint.*.pt")

    clone.run("make repro INSTALLED=")

    assert changed(before, clone.worked()) == {*IMPROVED, "report"}
    assert clone.results() == edited.results()
    assert "up to date" in clone.run("dvc status")


def test_ablations_run_side_by_side_from_a_fresh_store_and_enter_the_report(repeated: Clone, ablated: Clone):
    assert ablated.digests("runs/smoke/*/seed0/**/*.*") == repeated.digests("runs/smoke/*/seed0/**/*.*")
    before, after = (rows(clone, "experiment-parts") for clone in (repeated, ablated))
    half = [next(row for row in table if row["Network or training"] == "half the width") for table in (before, after)]
    assert [row["Fréchet distance (lower is better)"] == "not run" for row in half] == [True, False]
    names = {"width-halved", "light", "schedule-linear", "improved-seeds"}
    runs = logged(ablated)
    assert {run["rediffuse.run"] for run in runs if run.get("rediffuse.role") == "ablation"} == names


def rows(clone: Clone, table: str) -> list[dict[str, str]]:
    """A table of the report."""
    with (clone.folder / f"reports/smoke/tables/{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_rebuild_does_each_job_once_and_leaves_git_clean_but_for_times(repeated: Clone, tmp_path: Path):
    fresh = Clone(tmp_path / "project")
    subprocess.run(["git", "clone", "-q", repeated.folder, fresh.folder], check=True)
    fresh.run("dvc repro")
    # DVC's cache was empty: it asks for each stage, and each has worked once, under Snakemake, which then writes a
    # benchmark.
    times = sorted(fresh.folder.glob("runs/smoke/*/seed0/timing/*.json"))
    assert times
    for path in times:
        benchmark = f"state/smoke/benchmarks/{path.stem}/{path.parts[-4]}/seed0.tsv"
        assert path.stat().st_mtime <= (fresh.folder / benchmark).stat().st_mtime, benchmark
    dirty = [line[3:] for line in fresh.run("git status --porcelain").splitlines()]
    assert dirty
    assert [path for path in dirty if not path.startswith("reports/smoke/timings")] == []
    assert fresh.results() == repeated.results()


def test_dvc_forces_a_single_stage_by_its_own_option(repeated: Clone, tmp_path: Path):
    clone = repeated.copy(tmp_path / "project")
    before, right = clone.worked(), clone.results()
    held_out = clone.folder / "runs/smoke/real/timing/real.json"
    made = json.loads(held_out.read_text())["date"]
    clone.run("dvc repro --force --single-item real")
    assert json.loads(held_out.read_text())["date"] > made
    assert clone.results() == right
    assert changed(before, clone.worked()) == set()  # by DVC itself, not through Snakemake
    assert "up to date" in clone.run("dvc status")


def test_a_comment_in_the_source_runs_the_plan_alone(repeated: Clone, tmp_path: Path):
    clone = repeated.copy(tmp_path / "project")
    path = clone.folder / "src/rediffuse/training/loop.py"
    path.write_text(path.read_text() + "\n# A remark.\n")
    output = clone.run("dvc repro")
    assert re.findall(r"Running stage '([^']+)'", output) == ["plan"]


def test_a_misspelt_key_is_named_by_dvc_too(repeated: Clone, tmp_path: Path):
    clone = repeated.copy(tmp_path / "project")
    clone.edit("params.yaml", "\n  training:", "\n  trainin:")
    output = clone.run("dvc repro", code=255)
    assert "rediffuse: params.yaml: defaults.trainin: unknown key; did you mean 'training'?" in output


def test_pictures_outside_the_project_count_by_content(repeated: Clone, tmp_path: Path):
    clone = repeated.copy(tmp_path / "project")
    pictures = tmp_path / "pictures"
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("test", 24)):
        for k in range(count):
            (pictures / split / "a").mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(random.integers(0, 256, (8, 8), dtype=np.uint8))
            image.save(pictures / split / "a" / f"{k:02}.png")
    clone.edit(
        "params.yaml",
        "data:\n  name: smoke",
        f"data:\n  name: own\n  source: folder\n  image_size: 8\n  path: {pictures}",
    )
    clone.run("dvc repro prepare")
    assert "up to date" in clone.run("dvc status prepare plan")
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(pictures / "train" / "a" / "00.png")
    assert "inputs/pictures" in clone.run("dvc status prepare plan")
    assert "the pictures changed" in clone.run("rediffuse status")
    clone.run("dvc repro prepare")
    images = np.load(clone.folder / "data/own/images.npy")
    assert sum(not image.any() for image in images) == 1


README = (ROOT / "README.md").read_text()
SHELL = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
# Those of `diagnose` want a network that is trained: tests/diagnosis runs them.
COMMANDS = [
    line.split("  #")[0].strip()
    for line in SHELL.splitlines()
    if line.startswith("    ") and not line.startswith("    rediffuse diagnose")
]


@pytest.fixture(scope="module")
def reader(ablated: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A copy of the clone in which everything was built, for the commands of the README in their order."""
    return ablated.copy(tmp_path_factory.mktemp("readme") / "project")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_works(reader: Clone, command: str):
    if command == "make test":
        # These are the tests it runs.
        assert "pytest" in reader.run("make --dry-run test INSTALLED=")
    elif command == "rediffuse verify":
        # What was built here is not committed; tests/verification verifies what is.
        assert "commit, or give --here" in reader.run(command, code=2)
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
