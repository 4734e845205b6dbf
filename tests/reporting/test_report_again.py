"""The same files give the same report: byte for byte, but for what machines took."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from rediffuse.files import read_json
from rediffuse.formats import write_json
from rediffuse.reporting import build_report
from tests.reporting.study_tree import PROJECT, StudyTree, table, timings

SMOKE = PROJECT / "studies" / "smoke.yaml"
#: Tables of what machines took.
TIMED = (
    "training-cost",
    "sampling-cost",
    "cost-model",
    "checkpointing",
    "latency",
    "one-pass-cost",
    "during-training-cost",
    "timing-files",
)


def files(out: Path, *, machine: bool) -> dict[str, bytes]:
    """Content of every file of a part of the report; report.html is of both and of neither."""
    every = {str(p.relative_to(out)): p for p in out.rglob("*") if p.is_file() and p.name != "report.html"}
    return {name: path.read_bytes() for name, path in every.items() if name.startswith("timings") == machine}


def rebuilt(built: StudyTree, root: Path) -> Path:
    """The report of a copy of the same files, made in another process, folder and hour."""
    for name in ("runs", "data", "reports/smoke/evidence"):
        shutil.copytree(built.root / name, root / name, dirs_exist_ok=True)
    script = (
        "import sys, time; now = time.time; time.time = lambda: now() + 1e8\n"
        "from pathlib import Path; from tests.reporting.study_tree import StudyTree\n"
        "from rediffuse.reporting import build_report\n"
        "root = Path(sys.argv[1]); tree = StudyTree(root, Path(sys.argv[2]))\n"
        "build_report(tree.loaded, tree.plan, root, root / 'reports' / 'smoke')\n"
    )
    path = os.pathsep.join((str(PROJECT / "src"), str(PROJECT)))
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": path, "TZ": "Asia/Tokyo"}
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "matplotlibrc").write_text("font.size: 20\nsvg.fonttype: none\n")
    subprocess.run([sys.executable, "-c", script, str(root), str(SMOKE)], check=True, env=environment, cwd=elsewhere)
    return root / "reports" / "smoke"


def differing(one: Path, other: Path, *, machine: bool) -> set[str]:
    """The files of a part that are not the same bytes in two reports, or in one of them alone."""
    first, second = files(one, machine=machine), files(other, machine=machine)
    return {name for name in first.keys() | second.keys() if first.get(name) != second.get(name)}


def test_the_same_files_give_the_same_bytes_in_another_process(built: StudyTree, tmp_path: Path) -> None:
    again = rebuilt(built, tmp_path)
    assert len(files(again, machine=False)) > 100
    assert differing(built.out, again, machine=False) == set()


def test_what_another_machine_took_is_in_its_own_part_alone(built: StudyTree, tmp_path: Path) -> None:
    shutil.copytree(built.root, tmp_path, dirs_exist_ok=True)
    changed = [*tmp_path.rglob("timing/*.json")]
    assert len(changed) > 20
    for path in changed:
        slower = re.sub(r"\b\d+\.\d+(?=[,\s])", lambda found: str(2.5 * float(found[0])), path.read_text())
        assert slower != path.read_text()
        about = {"commit": "f" * 40, "date": "2031-01-02T03:04:05+00:00"}
        record = {**json.loads(slower), **about}
        write_json(path, {**record, "machine": {**record["machine"], "cpu": "Other CPU", "cores": 64}})
    tree = StudyTree(tmp_path, SMOKE)
    build_report(tree.loaded, tree.plan, tree.root, tree.out)
    assert differing(built.out, tree.out, machine=False) == set()
    shown = {"timings.md", *(f"timings/{name}.csv" for name in TIMED)}
    assert shown <= differing(built.out, tree.out, machine=True)
    assert "Measured on Other CPU, 64 cores, 1 thread used, torch 2.15.0, on 2031-01-02" in timings(tree)


def test_without_any_times_the_report_is_the_same(built: StudyTree, tmp_path: Path) -> None:
    shutil.copytree(built.root, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("timing", "timings"))
    tree = StudyTree(tmp_path, SMOKE)
    build_report(tree.loaded, tree.plan, tree.root, tree.out)
    assert differing(built.out, tree.out, machine=False) == set()
    assert "On which machine and when: not recorded." in timings(tree)


def test_times_of_several_machines_say_whose_each_is(built: StudyTree, tmp_path: Path) -> None:
    shutil.copytree(built.root, tmp_path, dirs_exist_ok=True)
    tree = StudyTree(tmp_path, SMOKE)
    path = tree.folder("improved") / "timing" / "train.json"
    record = read_json(path)
    write_json(path, {**record, "date": "2026-12-24T00:00:00+00:00", "machine": {**record["machine"], "cpu": "Other"}})
    build_report(tree.loaded, tree.plan, tree.root, tree.out)
    assert "1 job (`train/improved/seed0`) measured on Other, 2 cores" in timings(tree)
    assert "measured on Test CPU" in timings(tree)
    machines = {row["Job"]: row["Processor"] for row in table(tree, "machines", "timings")}
    assert (machines["train/improved/seed0"], machines["train/baseline/seed0"]) == ("Other", "Test CPU")


def test_times_of_jobs_that_shared_a_machine_say_how_many_there_were(built: StudyTree, tmp_path: Path) -> None:
    shutil.copytree(built.root, tmp_path, dirs_exist_ok=True)
    tree = StudyTree(tmp_path, SMOKE)
    path = tree.folder("improved") / "timing" / "train.json"
    record = read_json(path)
    write_json(path, {**record, "machine": {**record["machine"], "at_once": 3}})
    build_report(tree.loaded, tree.plan, tree.root, tree.out)
    assert "1 job (`train/improved/seed0`) measured on Test CPU, 2 cores" in timings(tree)
    assert timings(tree).count("up to 3 jobs at a time") == 1
