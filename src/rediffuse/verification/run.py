"""A verification from its request to its outcome."""

import csv
import io
import json
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rediffuse.config import LoadedStudy
from rediffuse.config.load import resolve_study
from rediffuse.config.yaml12 import read_yaml
from rediffuse.errors import UserError
from rediffuse.files import files_below, read_json, remove
from rediffuse.formats import json_text
from rediffuse.machine import environment, machine
from rediffuse.pipeline.context import Context
from rediffuse.reporting.terms import RUN_SETTINGS
from rediffuse.runs import facts
from rediffuse.verification.headline import headline_metrics, headline_of, headline_study
from rediffuse.verification.judge import EVIDENCE, METRICS, FileResult, Judge, State, compared
from rediffuse.verification.noise import LOSS, Cell, Noise, cells_of, measure
from rediffuse.verification.rebuild import rebuild, take_over
from rediffuse.verification.scratch import Scratch, check_clean, commit_of, commit_of_tree, files_at

Files = dict[str, bytes]


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    study: a name in studies/ or a file; the active one when absent. only: "headline" or "report" (without what
    experiments train); against: a commit whose report counts instead. threads: another number of them than the study's.
    """

    study: str | None = None
    here: bool = False
    only: Literal["headline", "report"] | None = None
    against: str | None = None
    threads: int | None = None
    cores: str = "all"


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
        """Numbers that moved on another kind of machine where nothing tells how far they may; then nothing is proved."""
        return self.counts["numbers"][State.UNJUDGED] if self.elsewhere and self.noise is None else 0


@dataclass(frozen=True)
class Case:
    """A request, with all that follows from it before anything is built.

    loaded: the study; asked, raw: what of it is rebuilt. report: the files of the committed report, those of times too;
    kept: jobs of the ablations that its evidence is made of, which are trained anew. scratch: where that is done.
    """

    request: Request
    root: Path
    file: Path
    loaded: LoadedStudy
    asked: LoadedStudy
    raw: dict[str, Any]
    commit: str
    against: str | None
    report: Files
    kept: list[str]
    scratch: Scratch

    @classmethod
    def of(cls, request: Request, root: Path) -> "Case":
        """UserError: it cannot be verified, and why."""
        file = _study_file(request, root)
        raw = read_yaml(root / file)
        loaded = resolve_study(raw, file)
        study = loaded.study.study
        commit = commit_of_tree(root) if request.here else commit_of(root)
        against = None if request.against is None else commit_of(root, request.against)
        if not request.here:
            check_clean(root, study, file)
        report = _report(root, against or commit, study)
        whole = request.only is None and against is None
        raw = headline_study(raw, loaded) if request.only == "headline" else raw
        if request.threads is not None:
            raw = {**raw, "hardware": {**raw.get("hardware", {}), "threads": request.threads}}
        names = [study, request.only, f"threads-{request.threads}" if request.threads else None, commit[:12]]
        return cls(
            request=request,
            root=root,
            file=file,
            loaded=loaded,
            asked=resolve_study(raw, file),
            raw=raw,
            commit=commit,
            against=against,
            report=report,
            kept=_trained(report) if whole else [],
            scratch=Scratch.at(root, "-".join(filter(None, [*names, against and against[:12]]))),
        )

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.loaded.study.study

    def begin(self) -> None:
        """Make the scratch folder, unless a verification that was stopped has left it."""
        if not self.scratch.begun:
            self.scratch.check_out(self.root, self.commit)
            self.scratch.prepare(self.root, self.asked, self.raw, ablations=bool(self.kept))


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
            made = {path: content for path, content in _report(root, case.commit, case.study).items() if compared(path)}
        else:
            rebuilt = _build(case)
            made = _made(case)
        hardware = case.asked.study.hardware
        here = machine(hardware.device, hardware.threads)
        said_on, made_on = _machines(case.report), _kind(here)
        elsewhere = not said_on or not all(_alike(one, made_on) for one in said_on)
        noise = _noise(case, said) if elsewhere else None
        if request.only == "headline":
            said = {METRICS: _json(headline_of(json.loads(said[METRICS]), case.loaded))}
        judge = Judge(elsewhere, noise, request.threads is not None, kept=not case.kept and case.against is None)
        outcome = Outcome(
            request=request,
            study=case.study,
            title=case.loaded.study.title,
            commit=case.commit,
            against=case.against,
            files=[judge.file(path, said.get(path), made.get(path)) for path in sorted(said.keys() | made.keys())],
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


def _study_file(request: Request, root: Path) -> Path:
    """The study's file, relative to the root; of the active study the one in studies/ that it is a copy of."""
    if request.against is not None and (request.only or request.threads):
        raise UserError("verify: --against compares whole reports; leave out --only and --threads")
    known = sorted(path.relative_to(root) for path in (root / "studies").glob("*.yaml"))
    active = root / "params.yaml"
    if request.study is None:
        content = active.read_bytes() if active.exists() else None
        return next((path for path in known if (root / path).read_bytes() == content), Path("params.yaml"))
    named = request.study.endswith((".yaml", ".yml"))
    path = Path(request.study) if named else Path("studies", f"{request.study}.yaml")
    if not (root / path).is_file():
        there = ", ".join(path.stem for path in known)
        raise UserError(f"verify: {path}: no such study{'; use one of ' + there if there else ' here'}")
    return path


def _report(root: Path, commit: str, study: str) -> Files:
    files = files_at(root, commit, f"reports/{study}")
    if METRICS not in files:
        raise UserError(
            f"verify: at {commit[:12]} reports/{study} holds no report to judge; build the study with `dvc repro` and "
            "commit its report first"
        )
    return files


def _trained(said: Files) -> list[str]:
    """The jobs of the ablations that the report's evidence is made of."""
    records = json.loads(said.get(EVIDENCE, b"[]"))
    return [f"evaluate/{record['ablation']}/seed{record['seed']}" for record in records]


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
        plan = Context.open(project / "params.yaml", project).plan
    jobs = [*plan.measured(), *plan.of_stage("report")]
    return done + rebuild(case.scratch, plan, jobs, ["all"], case.root, cores)


def _made(case: Case) -> Files:
    """The report that was made anew."""
    if case.request.only == "headline":
        return {METRICS: _json(headline_metrics(case.loaded, case.scratch.project))}
    folder = case.scratch.project / "reports" / case.study
    there = filter(compared, files_below(folder))
    return {path: (folder / path).read_bytes() for path in there}


def _json(value: Any) -> bytes:
    return json_text(value).encode()


def _changes(case: Case, against: str) -> dict[str, str]:
    """Why the key of each job differs from that at another commit, by the plans that both commits make themselves."""
    other = Scratch.at(case.root, f"{case.scratch.folder.name}-before")
    try:
        other.check_out(case.root, against)
        raw = read_yaml(other.project / case.file)
        if raw.get("study") != case.study:
            raise UserError(f"verify: {case.file} at {against[:12]} is no study {case.study}; name the study's file")
        other.prepare(case.root, case.asked, raw, ablations=False)
        before, after = (_plan_of(one, case.study) for one in (other, case.scratch))
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


def _plan_of(scratch: Scratch, study: str) -> dict[str, Any]:
    """What each job says of itself, in the project's own words."""
    scratch.run("plan")
    places = [read_json(path) for path in sorted((scratch.project / "plan" / study).glob("*.json"))]
    return {one["says"]["job"]: one["says"] for one in places if "says" in one}


def _noise(case: Case, said: Files) -> Noise | None:
    """The replicate noise of a study: its trainings in the scratch folder, and those of other seeds in the report."""
    loaded, project, cells, losses = (
        case.loaded,
        case.scratch.project,
        list[Cell](),
        defaultdict[str, list[float]](list),
    )
    metrics = json.loads(said[METRICS])
    for run in loaded.runs.values():
        own = metrics.get(run.name, {})
        for seed in run.seeds:
            for stage in ("metrics", "likelihood"):
                for path in sorted((project / facts.folder(run, seed) / stage).glob("*.json")):
                    record = read_json(path)
                    setting = record.get("setting") or RUN_SETTINGS[min(record["metrics"])]
                    cells += cells_of(record, run.name, setting, seed)
        if len(run.seeds) == 1:  # what is judged must not widen its own interval: of a single seed the report's value
            cells = [
                replace(cell, value=own.get(cell.setting, {}).get(cell.metric, cell.value))
                if cell.run == run.name
                else cell
                for cell in cells
            ]
        if (loss := own.get("training", {}).get(LOSS)) is not None:
            losses[run.name].append(loss)
    for path in sorted((project / "runs" / case.study / "real").glob("*.json")):
        cells += cells_of(read_json(path), "real", path.stem, None)
    for record in json.loads(said.get(EVIDENCE, b"[]")):
        if not record.get("overrides"):  # it changes nothing but the seed
            losses[record["of"]].append(record[LOSS])
            for setting, scores in record["metrics"].items():
                cells += cells_of(scores, record["of"], setting, record["seed"])
    seeds = {run.name: len(run.seeds) for run in loaded.runs.values()}
    return measure(cells, losses, seeds, sum(len(one) for settings in metrics.values() for one in settings.values()))


def _machines(report: Files) -> list[tuple[str, ...]]:
    """The kinds of machine that a report was made on; none where it keeps no times."""
    rows = csv.DictReader(io.StringIO(report.get("timings/machines.csv", b"").decode()))
    columns = ("Processor", "Threads used", "Device", "PyTorch")
    kinds = (_named(*(row.get(name) or "" for name in columns)) for row in rows)
    return list(dict.fromkeys(kinds))


def _kind(here: dict[str, Any]) -> tuple[str, ...]:
    return _named(*(str(here[name]) for name in ("cpu", "threads", "device", "torch")))


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
