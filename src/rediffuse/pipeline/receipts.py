"""Receipts: what made a job's files, and whether they are still what it made.

A receipt lies beside the files, travels with them through `dvc push` and `dvc pull`, and holds no time, no commit and
no version, so that two clones write the same one. Those lie in timing/<stage>.json, which nothing digests.
"""

from pathlib import Path
from typing import Any

from rediffuse.errors import UserError
from rediffuse.files import digest, read_json, remove
from rediffuse.formats import write_json
from rediffuse.pipeline.digests import Digests
from rediffuse.pipeline.glance import Receipt, read_receipt, unlike
from rediffuse.pipeline.plan import Job, Plan


def write_receipt(job: Job, root: Path, accepted: list[dict[str, str]] | None = None) -> None:
    """Record that `job` made its outputs from the inputs that lie there now.

    accepted: the code under which they were really made and why they still count, where that is not today's.
    """
    digests = Digests(root)
    receipt = {
        **job.statement(),
        "inputs": {str(path): digests.of(path) for path in job.inputs},
        "outputs": {str(path): digests.of(path) for path in job.outputs},
        **({"accepted": accepted} if accepted else {}),
    }
    digests.save()
    write_json(root / job.receipt, receipt)


def why_stale(job: Job, digests: Digests) -> str | None:
    """Why `job` has to run, in a few words; None when its files are what today's settings and code make."""
    path = digests.root / job.receipt
    if not path.exists():
        return "never made"
    if (receipt := read_receipt(path)) is None:
        return f"{job.receipt} cannot be read"
    if receipt["key"] != job.key:
        return _what_changed(job, receipt)
    # As JSON has it: what is a tuple in settings is a list in a receipt.
    statement = job.statement()
    says = {name: receipt.get(name) for name in statement}
    if says != statement and digest(says) != digest(statement):
        return f"{job.receipt} is not what was made"
    return _damaged(job, receipt, digests)


def _damaged(job: Job, receipt: Receipt, digests: Digests) -> str | None:
    """Which file of a job is not as it was made. What holds times is of one machine, and so are its digests."""
    if (changed := unlike(receipt, job.inputs, job.outputs, digests)) is not None:
        return changed
    timing = read_timing(job, digests.root)
    made = timing.get("loose") if timing.get("key") == receipt["key"] else None
    for path in job.loose:
        found = digests.of(path)
        if found is None:
            return f"{path} is missing"
        if isinstance(made, dict) and made.get(str(path)) != found:
            return f"{path} is not what was made"
    return None


def read_timing(job: Job, root: Path) -> dict[str, Any]:
    """What was measured of a job and by whom, nothing where it was made elsewhere or the file is damaged."""
    try:
        timing = read_json(root / job.timing)
    except (OSError, ValueError, RecursionError):
        return {}
    return timing if isinstance(timing, dict) else {}


def clear_damage(job: Job, root: Path) -> None:
    """Delete what is not as it was made: stages keep what they find finished, and must not find that. Delete, too,
    folders where files should be and the other way round.
    """
    digests, receipt = Digests(root), read_receipt(root / job.receipt)
    made = receipt["outputs"] if receipt is not None and receipt["key"] == job.key else {}
    for path in (job.receipt, job.timing, *job.outputs, *job.loose):
        whole, other = root / path, path in job.outputs and bool(made) and made.get(str(path)) != digests.of(path)
        if whole.exists() and (other or whole.is_dir() == bool(path.suffix)):
            remove(whole)


def _what_changed(job: Job, receipt: Receipt) -> str:
    if receipt["settings"] != job.settings:
        changed = _first_difference(receipt["settings"], job.settings)
        return "the pictures changed" if changed == "pictures" else f"settings changed: {changed}"
    return "code changed" if receipt["code"] != job.code else "what it is made from changed"


def _first_difference(old: Any, new: Any, where: str = "") -> str:
    """The dotted key at which two settings differ first."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*new, *old]):
            if old.get(key) != new.get(key):
                return _first_difference(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    return where


def reasons(plan: Plan, root: Path) -> dict[str, str | None]:
    """Why each job is stale, None of those that are not."""
    digests = Digests(root)
    found = {job.name: why_stale(job, digests) for job in plan.jobs.values()}
    digests.save()
    return found


def require(job: Job, root: Path) -> None:
    """Make sure that everything `job` needs is there and made under today's settings and code.

    Raises:
        UserError: names the first file that is not, why, and the command that makes it.
    """
    digests = Digests(root)
    for need in job.needs:
        if (reason := why_stale(need, digests)) is not None:
            raise UserError(f"{job.name} needs {need.outputs[0]}: {reason}; run `{need.command}` first")
    digests.save()


def accept(plan: Plan, job: Job, because: str, root: Path) -> list[str]:
    """Keep a job's result although code has changed since it was made: its receipt says so, and under which code it was
    made. Jobs that are stale for no other reason than this one take it too. Returns the names of all.

    Raises:
        UserError: there is no result, it is up to date, or something other than code differs.
    """
    digests = Digests(root)
    reason = why_stale(job, digests)
    if reason is None:
        raise UserError(f"accept: {job.name} is up to date; there is nothing to accept")
    if reason not in ("code changed", "what it is made from changed"):
        raise UserError(
            f"accept: {job.name}: {reason}; only a result of other code can be accepted: run `{job.command}`"
        )
    taken = []
    for name in sorted(plan.downstream({job.name}), key=list(plan.jobs).index):
        one = plan.jobs[name]
        receipt = read_receipt(root / one.receipt)
        if receipt is None or receipt["key"] == one.key:
            continue
        same_code = receipt["code"] == one.code
        if receipt["settings"] != one.settings or not (same_code or one is job):
            continue
        if _damaged(one, receipt, digests) is not None:
            continue
        waits = [need.name for need in one.needs if why_stale(need, digests) is not None]
        if waits and one is job:
            raise UserError(f"accept: {one.name} is made from {waits[0]}, which is not up to date; accept that first")
        if waits:
            continue
        earlier = receipt.get("accepted") or []
        added = [] if same_code else [{"made by code": receipt["code"], "because": because}]
        timing = read_timing(one, root)
        write_receipt(one, root, [*earlier, *added])
        if timing.get("key") == receipt["key"]:  # what making it took, by the commit that it names
            write_json(root / one.timing, {**timing, "key": one.key})
        taken.append(name)
    digests.save()
    return taken
