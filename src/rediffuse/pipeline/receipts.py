"""Receipts: what made a job's files, and whether they are still what it made.

A receipt lies beside the files, travels with them through `dvc push` and `dvc pull`, and holds no time and no path
outside the project, so that two clones write the same one.
"""

import fcntl
import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from rediffuse.errors import UserError
from rediffuse.files import read_json, write_json
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.plan import Job, Plan, evidence_file

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "rediffuse")


def commit(root: Path) -> str:
    """The last git commit that touched what computes, with `+changes` when the working tree differs from it.

    Not HEAD: a commit of results, or of a sentence in the README, would make receipts of the same work differ. Nor the
    active study: a receipt holds its job's settings, and `rediffuse use` is no change of the code.
    """
    where = ["src", "workflow", "Snakefile", "requirements.lock"]
    try:
        last, dirty = (
            subprocess.run(["git", *command, "--", *where], cwd=root, capture_output=True, text=True, check=True).stdout
            for command in (["log", "-1", "--format=%H"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return last.strip() + ("+changes" if dirty.strip() else "")


def environment() -> dict[str, str]:
    """Versions of what computes."""
    versions = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "system": f"{sys.platform} {platform.machine()}", **versions}


def write_receipt(job: Job, root: Path) -> None:
    """Record that `job` made its outputs from the inputs that lie there now."""
    digests = Digests(root)
    inputs = [path for need in job.needs for path in need.outputs]
    receipt = {
        "job": job.name,
        "key": job.key,
        "command": job.command,
        "commit": commit(root),
        "code": job.code,
        "settings": job.settings,
        "needs": {need.name: need.key for need in job.needs},
        "inputs": {str(path): digests.of(path) for path in inputs},
        "outputs": {str(path): digests.of(path) for path in job.outputs},
        "environment": environment(),
    }
    write_json(root / job.receipt, receipt)


def why_stale(job: Job, digests: Digests) -> str | None:
    """Why `job` has to run, in a few words; None when its files are what today's settings and code make."""
    path = digests.root / job.receipt
    try:
        receipt = read_json(path)
    except FileNotFoundError:
        return "never made"
    except (OSError, json.JSONDecodeError):
        return f"{job.receipt} cannot be read"
    if receipt.get("key") != job.key:
        if receipt.get("settings") != job.settings:
            return "settings changed"
        return "code changed" if receipt.get("code") != job.code else "what it is made from changed"
    for path_in, made_from in receipt["inputs"].items():
        # An absent input is made again under the same key; only a different one makes this job stale.
        if digests.of(Path(path_in)) not in (made_from, None):
            return f"{path_in} is not what it was made from"
    for output in job.outputs:
        found = digests.of(output)
        if found is None:
            return f"{output} is missing"
        if found != receipt["outputs"].get(str(output)):
            return f"{output} is not what was made"
    return None


def require(job: Job, root: Path) -> None:
    """Make sure that everything `job` needs is there and made under today's settings and code.

    Raises:
        UserError: names the first file that is not, why, and the command that makes it.
    """
    digests = Digests(root)
    for need in job.needs:
        if (reason := why_stale(need, digests)) is not None:
            raise UserError(f"{job.name} needs {need.outputs[0]}: {reason}; run `{need.command}` first")


def settle(plan: Plan, root: Path) -> dict[str, str | None]:
    """Make file dates say what the receipts say; returns why each job is stale (None: fresh).

    Snakemake reruns what is older than its inputs. Dates mean nothing after a clone, a copy or `dvc pull`, so each job
    has a key file as an input of its own: dated long ago when the job is fresh, now (with the reason inside) when it
    is stale; and the receipts of fresh jobs are put in order.
    """
    if not (evidence := root / evidence_file(plan.study)).exists():
        write_json(evidence, [])  # no ablation has been run: DVC wants to see the file all the same
    digests = Digests(root)
    reasons: dict[str, str | None] = {}
    for job in plan.jobs.values():
        reason = reasons[job.name] = why_stale(job, digests)
        path = root / job.key_file(plan.study)
        content = {"job": job.name, "key": job.key}
        known = read_json(path) if path.exists() else {}
        if reason is None:
            if known.get("key") != job.key:
                write_json(path, content)
            os.utime(path, (0, 0))
            _date_after(root / job.receipt, [root / need.receipt for need in job.needs])
        elif known.get("key") != job.key or path.stat().st_mtime == 0:
            write_json(path, {**content, "stale": reason})
    digests.save()
    return reasons


def _date_after(path: Path, earlier: list[Path]) -> None:
    """Date `path` a moment after the latest of `earlier`, unless it is later already."""
    latest = max((p.stat().st_mtime_ns for p in earlier if p.exists()), default=0)
    if path.stat().st_mtime_ns <= latest:
        os.utime(path, ns=(latest + 1_000_000, latest + 1_000_000))


def lock(path: Path, what: str) -> int:
    """Hold an exclusive lock for the life of this process; a killed process leaves none behind.

    Returns the descriptor, which the caller keeps open.

    Raises:
        UserError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(descriptor, 100).decode(errors="replace").strip()
        os.close(descriptor)
        raise UserError(f"{what} is already running here (process {owner}); wait for it or stop it") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor
