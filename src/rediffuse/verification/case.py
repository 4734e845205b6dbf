"""What is to be verified: a request, and all that follows from it before anything is built."""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from rediffuse.config import LoadedStudy
from rediffuse.config.load import resolve_study
from rediffuse.config.yaml12 import read_yaml
from rediffuse.errors import UserError
from rediffuse.verification.headline import headline_study
from rediffuse.verification.judge import EVIDENCE, METRICS, PEDIGREE
from rediffuse.verification.noise import LOSS
from rediffuse.verification.parts import table
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
        report = report_at(root, against or commit, study)
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


def report_at(root: Path, commit: str, study: str) -> Files:
    """The files of a committed report, those of times too. UserError: there is none."""
    files = files_at(root, commit, f"reports/{study}")
    if METRICS not in files:
        raise UserError(
            f"verify: at {commit[:12]} reports/{study} holds no report to judge; build the study with `dvc repro` and "
            "commit its report first"
        )
    for path in (METRICS, EVIDENCE, PEDIGREE):
        if not _readable(path, files):
            raise UserError(f"verify: at {commit[:12]} reports/{study}/{path} is damaged, and cannot be judged")
    return files


def _readable(path: str, files: Files) -> bool:
    """Whether a file of numbers is what `json_text` and `write_records` make."""
    try:
        if path == PEDIGREE:
            table(files.get(path, b"").decode())
            return True
        content = json.loads(files.get(path, b"[]"))
        if path == METRICS:
            numbers = [one for run in content.values() for setting in run.values() for one in setting.values()]
            return all(one is None or isfinite(one) for one in numbers)
        return all({"ablation", "seed", "of", "metrics", LOSS} <= one.keys() for one in content)
    except (ValueError, RecursionError, AttributeError, TypeError, OverflowError):
        return False


def _trained(said: Files) -> list[str]:
    """The jobs of the ablations that the report's evidence is made of."""
    records = json.loads(said.get(EVIDENCE, b"[]"))
    return [f"evaluate/{record['ablation']}/seed{record['seed']}" for record in records]
