"""The kept records of ablations, which git tracks: inputs of the report that no job of `dvc repro` makes.

One that is missing or damaged counts as what git has of it, and is put back before it is read.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from rediffuse.files import remove, write_atomically


def evidence_file(study: str) -> Path:
    """The committed record of ablation results, an input of the report."""
    return Path("reports", study, "evidence", "ablations.json")


def times_file(study: str) -> Path:
    """The times of those ablations."""
    return Path("reports", study, "timings", "ablations.json")


def evidence_digest(root: Path, study: str) -> str | None:
    """SHA-256 of the evidence; None where there is none, or a file that says so."""
    content = _records(root / evidence_file(study)) or _committed(root, evidence_file(study))
    return None if content is None or json.loads(content) == [] else hashlib.sha256(content).hexdigest()


def mend(root: Path, study: str) -> None:
    """Put back what is missing or damaged, as git has it; what git has not is gone, and evidence then is empty."""
    for path, otherwise in ((evidence_file(study), b"[]\n"), (times_file(study), None)):
        if _records(root / path) is not None:
            continue
        damaged, content = (root / path).exists(), _committed(root, path)
        if damaged:
            remove(root / path)
        if content is not None or otherwise is not None:
            write_atomically(root / path, content or otherwise or b"")
        if damaged or content is not None:
            now = "put back as git has it" if content else "made empty; `rediffuse ablations` gathers what is on disk"
            print(f"{path} was {'damaged' if damaged else 'missing'} and is {now}", file=sys.stderr)


def _records(path: Path) -> bytes | None:
    """The content of a file of records, None where there is no such file or anything else in it."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if _are_records(content) else None


def _are_records(content: bytes) -> bool:
    try:
        records = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(records, list) and all(
        isinstance(one, dict) and {"ablation", "seed"} <= one.keys() for one in records
    )


def _committed(root: Path, path: Path) -> bytes | None:
    """What git's index has of a file."""
    try:
        content = subprocess.run(["git", "show", f":./{path}"], cwd=root, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return content if _are_records(content) else None
