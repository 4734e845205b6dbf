"""Whether a job is up to date, told from its plan file and its receipt alone: DVC asks so for dozens of stages in a
row, and reading the study for each would take most of the time. This module imports little, on purpose.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rediffuse.files import read_json
from rediffuse.pipeline.digests import Digests

Receipt = dict[str, Any]
#: DVC's options that make it do what is up to date: in full, or among short ones that take no value.
FORCE = re.compile(r"--force|--force-downstream|-[smpPRik]*[fF][fFsmpPRik]*")


def is_ready(root: Path, stage: str, run: str | None, seed: int) -> bool:
    """Whether a stage of DVC's has nothing to do; False where that does not show at a glance."""
    if stage == "report":
        return False  # the evidence of ablations decides too, and no plan file follows it
    digests = Digests(root)
    try:
        study = re.findall(r"^study: *([a-z0-9-]+) *$", (root / "params.yaml").read_text(encoding="utf-8"), re.M)[0]
        plan = read_json(root / plan_file(study, stage, run, seed))
        if plan["says"] is None:  # a run has no such job
            left_empty = not any(any((root / folder).iterdir()) for folder in plan["outputs"])
            return left_empty and read_json(root / plan["receipt"])["key"] is None
        receipt = read_receipt(root / plan["receipt"])
        if receipt is None or any(receipt[name] != said for name, said in plan["says"].items()):
            return False
        changed = unlike(receipt, map(Path, plan["inputs"]), map(Path, plan["outputs"]), digests)
        ready = changed is None and not is_forced(root, study, receipt["job"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False
    digests.save()
    return ready


def plan_file(study: str, stage: str, run: str | None = None, seed: int | str | None = None) -> Path:
    """Where a job's plan file lies."""
    return Path("plan", study, f"{stage}.json" if run is None else f"{stage}-{run}-seed{seed}.json")


def read_receipt(path: Path) -> Receipt | None:
    """The receipt in a file; None when there is none that can be read."""
    try:
        receipt = read_json(path)
    except (OSError, ValueError, RecursionError):
        return None
    parts = {"key": str, "code": str, "settings": dict, "needs": dict, "inputs": dict, "outputs": dict}
    whole = isinstance(receipt, dict) and all(isinstance(receipt.get(name), kind) for name, kind in parts.items())
    return receipt if whole else None


def unlike(receipt: Receipt, inputs: Iterable[Path], outputs: Iterable[Path], digests: Digests) -> str | None:
    """Which file is not what a receipt says of it; None when all are."""
    for path in inputs:
        # An absent input is made again under the same key; only a different one makes this job stale.
        if digests.of(path) not in (receipt["inputs"].get(str(path), ""), None):
            return f"{path} is not what it was made from"
    for output in outputs:
        found = digests.of(output)
        if found is None:
            return f"{output} is missing"
        if found != receipt["outputs"].get(str(output)):
            return f"{output} is not what was made"
    return None


def is_forced(root: Path, study: str, job: str) -> bool:
    """Whether DVC was told to do again what is up to date: `dvc repro --force`. False of what this run of it has made.

    dvc.lock cannot tell: DVC runs a stage, too, whose results it has yet to put into its cache.
    """
    import psutil

    for process in psutil.Process().parents():
        try:
            words, began = process.cmdline(), process.create_time()
        except psutil.Error:
            continue
        dvc = next((i for i, word in enumerate(words[:4]) if Path(word).name in ("dvc", "dvc.exe")), None)
        if dvc is None or not {"repro", "run"} & set(words[dvc + 1 :]):
            continue
        if not any(FORCE.fullmatch(word) for word in words[dvc + 1 :]):
            return False
        log = root / "state" / study / "logs" / f"{job}.log"  # Snakemake writes it with the job
        return not log.exists() or log.stat().st_mtime < began
    return False
