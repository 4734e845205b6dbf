"""Damages each file of a built study, one at a time and in several ways, and has it made again.

Noticed: `status` names the file's job. Made again: the job's own command ends with the bytes there were before.

    python -m benchmarks.reliability.damage
"""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.reliability.project import Forked, built, opened, parser, record, scratch, words_for
from tests.pipeline.test_damage import by_hand, cut, delete, empty, flip, folder, no_text, other_json

from rediffuse.pipeline.plan import Job
from rediffuse.pipeline.receipts import reasons

DAMAGES: dict[str, Callable[[Path], None]] = {
    "one bit flipped": flip,
    "cut in half": cut,
    "emptied": empty,
    "deleted": delete,
    "no text": no_text,
    "other JSON": other_json,
    "a folder in its place": folder,
    "a number changed by hand": by_hand,
}


def files_of(job: Job, root: Path) -> list[Path]:
    """Every file of a job, those inside of folders too."""
    found = []
    for path in (job.receipt, *job.outputs, *job.loose):
        whole = root / path
        found += [whole] if whole.is_file() else sorted(one for one in whole.rglob("*") if one.is_file())
    return found


def main(arguments: list[str] | None = None) -> None:
    options = parser(__doc__, "damage").parse_args(arguments)
    began = time.monotonic()
    with scratch(options.folder) as where:
        clone, jobs = built(where / "project", options)
        for figures in damaged(jobs, opened(clone), where):
            record("damage", options.results, began, figures)


def damaged(jobs: list[Job], context: Any, where: Path) -> Iterator[dict[str, Any]]:
    """Damage every file of the jobs in every way; each is made again after one of these, in turn.
    The figures so far.
    """
    noticed: dict[str, Counter[str]] = {name: Counter() for name in DAMAGES}
    wrong: list[str] = []
    files = again = 0
    for job in jobs:
        for path in files_of(job, context.root):
            files += 1
            right, kept = path.read_bytes(), where / "kept"
            shutil.copy2(path, kept)
            turn = files % len(DAMAGES)
            for name, damage in [*list(DAMAGES.items())[turn:], *list(DAMAGES.items())[:turn]]:
                try:
                    damage(path)
                except (StopIteration, UnicodeDecodeError):
                    continue  # there is no number in it
                if path.is_file() and path.read_bytes() == right:
                    continue
                noticed[name]["cases"] += 1
                if reasons(context.plan, context.root)[job.name] is not None:
                    noticed[name]["noticed"] += 1
                else:
                    wrong.append(f"{path.relative_to(context.root)}: {name}")
                if again < files:
                    again += 1
                    wrong += made_again(job, path, right, context, where)
                if path.is_dir():
                    shutil.rmtree(path)
                shutil.copy2(kept, path)
        why = reasons(context.plan, context.root)
        yield {
            "jobs": jobs.index(job) + 1,
            "files": files,
            "damages": {name: dict(count) for name, count in noticed.items()},
            "cases": sum(count["cases"] for count in noticed.values()),
            "noticed": sum(count["noticed"] for count in noticed.values()),
            "made again": again,
            "wrong": wrong,
            "stale in the end": [job.name for job in jobs if why[job.name] is not None],
        }


def made_again(job: Job, path: Path, right: bytes, context: Any, where: Path) -> list[str]:
    """Do the damaged job's command; what was wrong then. A file that holds times is another each time."""
    name = path.relative_to(context.root)
    forked = Forked(words_for(job), context.root, where / "log")
    if forked.wait() != 0:
        return [f"{name}: exit code {forked.code}: {forked.said[-1:]}"]
    if not path.is_file() or (path.read_bytes() != right and name not in holding_times(job)):
        return [f"{name}: made again with other bytes"]
    if reasons(context.plan, context.root)[job.name] is not None:
        return [f"{name}: not up to date afterwards"]
    return []


def holding_times(job: Job) -> set[Path]:
    return {path for path in job.loose if path.suffix}


if __name__ == "__main__":
    main()
