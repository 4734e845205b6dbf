"""A verification from its request to its outcome."""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rediffuse.config.yaml12 import read_yaml
from rediffuse.errors import UserError
from rediffuse.files import files_below, read_json, remove
from rediffuse.formats import write_records
from rediffuse.machine import environment, machine
from rediffuse.pipeline.context import Context
from rediffuse.pipeline.evidence import evidence_file
from rediffuse.verification.case import Case, Files, Request, report_at
from rediffuse.verification.headline import headline_files, headline_of
from rediffuse.verification.judge import EVIDENCE, METRICS, FileResult, Judge, State, compared
from rediffuse.verification.noise import Noise, noise_of
from rediffuse.verification.parts import table
from rediffuse.verification.rebuild import rebuild, take_over
from rediffuse.verification.scratch import Scratch
from rediffuse.verification.within import contradictions

#: Variables that hold libraries to fewer instructions than the processor has: results are those of another processor.
LIMITS = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
)


@dataclass(frozen=True)
class Outcome:
    """What a verification found.

    commit: what was rebuilt, of the working tree with `here`; against: the commit whose report it was compared with,
    where that is another. said_on: machines of the report; made_on: this one; elsewhere: whether they differ. changes:
    with `against`, why each job is another one now. rebuilt: jobs done. scratch: what was built, where it is kept.
    """

    request: Request
    study: str
    title: str
    commit: str
    against: str | None
    files: list[FileResult]
    said_on: list[str]
    made_on: str
    elsewhere: bool
    noise: Noise | None
    changes: dict[str, str]
    rebuilt: int
    seconds: float
    machine: dict[str, Any]
    versions: dict[str, str]
    scratch: str
    counts: dict[str, Counter[State]] = field(init=False)

    def __post_init__(self) -> None:
        files = Counter(one.state for one in self.files)
        numbers = sum((one.numbers for one in self.files), Counter[State]())
        object.__setattr__(self, "counts", {"files": files, "numbers": numbers})

    @property
    def differs(self) -> bool:
        """Whether anything is different or absent."""
        return any(count[state] for count in self.counts.values() for state in (State.DIFFERENT, State.ABSENT))

    @property
    def undecided(self) -> int:
        """Numbers that moved on another kind of machine and nothing tells how far they may: nothing is proved."""
        return self.counts["numbers"][State.UNJUDGED] if self.elsewhere and self.noise is None else 0


def verify(request: Request, root: Path) -> Outcome:
    """Rebuild a study and judge its report.

    Raises:
        UserError: it could not be done, and why.
    """
    start, case = time.monotonic(), Case.of(request, root)
    said = {path: content for path, content in case.report.items() if compared(path)}
    with case.scratch.held(f"verify {case.study}"):
        case.begin()
        changes = {} if case.against is None else _changes(case, case.against)
        rebuilt = 0
        if case.against is not None and not changes:
            made = {
                path: content for path, content in report_at(root, case.commit, case.study).items() if compared(path)
            }
        else:
            rebuilt = _build(case)
            made = _made(case)
        hardware = case.asked.study.hardware
        here = machine(hardware.device, hardware.threads)
        said_on, made_on = _machines(case.report), _kind(here)
        elsewhere = not said_on or not all(_alike(one, made_on) for one in said_on)
        metrics, evidence = (json.loads(said.get(path, b"[]")) for path in (METRICS, EVIDENCE))
        noise = noise_of(case.loaded, case.scratch.project, metrics, evidence) if elsewhere else None
        if request.only == "headline":
            said = headline_of(said, case.loaded)
        judge = Judge(
            elsewhere,
            noise,
            threads=request.threads is not None,
            kept=not case.kept and case.against is None,
            exact=not elsewhere and all(said.get(path) == made.get(path) for path in (METRICS, EVIDENCE)),
        )
        outcome = Outcome(
            request=request,
            study=case.study,
            title=case.loaded.study.title,
            commit=case.commit,
            against=case.against,
            files=_judged(judge, said, made),
            said_on=[", ".join(one) for one in said_on],
            made_on=", ".join(made_on),
            elsewhere=elsewhere,
            noise=noise,
            changes=changes,
            rebuilt=rebuilt,
            seconds=time.monotonic() - start,
            machine=here,
            versions=environment(),
            scratch=str(case.scratch.folder),
        )
        case.scratch.finish(keep=outcome.differs)
    return outcome


def _judged(judge: Judge, said: Files, made: Files) -> list[FileResult]:
    """What became of each file; elsewhere, where numbers move, a report is held against itself as well."""
    files = {path: judge.file(path, said.get(path), made.get(path)) for path in sorted(said.keys() | made.keys())}
    for found in contradictions(said, made) if judge.elsewhere else ():
        files[found.file].add(found)
    return list(files.values())


def _build(case: Case) -> int:
    """Rebuild what is asked for; how many jobs that took."""
    project, cores = case.scratch.project, case.request.cores
    plan = Context.open(project / "params.yaml", project).plan
    if case.against is not None:
        take_over(case.scratch, plan, case.root)
    if case.request.only == "headline":
        jobs = list(plan.upstream(plan.of_stage("evaluate")).values())
        return rebuild(case.scratch, plan, jobs, ["evaluate"], case.root, cores)
    done = 0
    if case.kept:
        trained = [plan.jobs[name] for name in case.kept if name in plan.jobs]
        jobs = list(plan.upstream([*plan.measured(), *trained]).values())
        done = rebuild(case.scratch, plan, jobs, ["measured", *(str(job.receipt) for job in trained)], case.root, cores)
        case.scratch.run("ablations")
        _keep_notes(case, project / evidence_file(case.study))
        plan = Context.open(project / "params.yaml", project).plan
    jobs = [*plan.measured(), *plan.of_stage("report")]
    return done + rebuild(case.scratch, plan, jobs, ["all"], case.root, cores)


def _keep_notes(case: Case, evidence: Path) -> None:
    """Give records of ablations that were made anew the reasons for which earlier ones were kept under other code: the
    report tells them, and they are no results.
    """
    notes = {(r["ablation"], r["seed"]): r["accepted"] for r in json.loads(case.report[EVIDENCE]) if "accepted" in r}
    records = read_json(evidence)
    for record in records:
        if (note := notes.get((record["ablation"], record["seed"]))) is not None:
            record["accepted"] = note
    write_records(evidence, records)


def _made(case: Case) -> Files:
    """The report that was made anew."""
    if case.request.only == "headline":
        whole = case.scratch.folder / "study.yaml"  # what is built is a part of it, whose jobs have other keys
        whole.write_bytes((case.root / case.file).read_bytes())
        jobs = plan_of(case.scratch, case.study, "--study", str(whole))
        return headline_files(case.loaded, case.scratch.project, jobs.values())
    folder = case.scratch.project / "reports" / case.study
    there = filter(compared, files_below(folder))
    return {path: (folder / path).read_bytes() for path in there}


def _changes(case: Case, against: str) -> dict[str, str]:
    """Why the key of each job differs from that at another commit, by the plans that both commits make themselves."""
    other = Scratch.at(case.root, f"{case.scratch.folder.name}-before")
    try:
        other.check_out(case.root, against)
        raw = read_yaml(other.project / case.file)
        if raw.get("study") != case.study:
            raise UserError(f"verify: {case.file} at {against[:12]} is no study {case.study}; name the study's file")
        other.prepare(case.root, case.asked, raw, ablations=False)
        before, after = (plan_of(one, case.study) for one in (other, case.scratch))
    finally:
        remove(other.folder)
    found = {}
    for name in dict.fromkeys([*after, *before]):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            found[name] = "is new" if old is None else "is gone"
        elif old["key"] != new["key"]:
            differing = [what for what in ("settings", "code") if old[what] != new[what]]
            found[name] = " and ".join(differing) or "what it is made from"
    return found


def plan_of(scratch: Scratch, study: str, *options: str) -> dict[str, Any]:
    """What each job says of itself, in the project's own words."""
    scratch.run("plan", *options)
    places = [read_json(path) for path in sorted((scratch.project / "plan" / study).glob("*.json"))]
    return {one["says"]["job"]: one["says"] for one in places if one.get("says")}


def _machines(report: Files) -> list[tuple[str, ...]]:
    """The kinds of machine that a report was made on; none where it keeps no times."""
    try:
        head, *rows = table(report.get("timings/machines.csv", b"").decode()) or [[]]
    except ValueError:
        return []
    columns = ("Processor", "Threads used", "Device", "PyTorch")
    kinds = (_named(*(dict(zip(head, row, strict=False)).get(name, "") for name in columns)) for row in rows)
    return list(dict.fromkeys(kinds))


def _kind(here: dict[str, Any]) -> tuple[str, ...]:
    limits = (f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ)
    return (*_named(*(str(here[name]) for name in ("cpu", "threads", "device", "torch"))), *limits)


def _named(processor: str, threads: str, device: str, torch: str) -> tuple[str, ...]:
    return (
        processor,
        f"{threads} thread{'s' * (threads != '1')}",
        f"device {device}",
        f"torch {torch.partition('+')[0]}",
    )


def _alike(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether two kinds are the same; a processor's name may say less in an older report."""
    short, long = sorted((one[0], other[0]), key=len)
    return one[1:] == other[1:] and long.startswith(short)
