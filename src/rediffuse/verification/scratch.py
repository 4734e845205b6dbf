"""A committed state of the project in a folder of its own, where it is built from nothing.

Its name follows from what is verified, so that a verification that was killed finds it again and goes on.
"""

import contextlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from rediffuse.config import LoadedStudy
from rediffuse.errors import UserError, one_line, shown
from rediffuse.files import remove, write_atomically
from rediffuse.formats import json_text
from rediffuse.pipeline.evidence import evidence_file, times_file
from rediffuse.pipeline.lock import lock
from rediffuse.pipeline.outside import named

#: What decides a rebuild besides the study and its report.
SOURCES = ("src", "workflow", "profiles", "inputs", "Snakefile", "requirements.lock")


def git(root: Path, *words: str, env: dict[str, str] | None = None) -> bytes:
    """What a git command prints. Raises UserError with git's own words."""
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, env={**os.environ, **(env or {})})
    except FileNotFoundError:
        raise UserError("verify: git is not installed; what is committed cannot be told without it") from None
    if done.returncode:
        raise UserError(f"verify: git {words[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def commit_of(root: Path, revision: str = "HEAD") -> str:
    """The whole name of a commit. Raises UserError where there is none."""
    try:
        return git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    except UserError:
        pass
    there = subprocess.run(["git", "rev-parse", "--git-dir"], cwd=root, capture_output=True)
    if there.returncode:
        why = one_line(there.stderr.decode(errors="replace").strip().removeprefix("fatal: ").partition("\n")[0], 150)
        raise UserError(f"verify: here is no git repository to go by ({why}); go to a clone of the project") from None
    if revision == "HEAD":
        raise UserError("verify: nothing is committed here yet; commit the project, or give --here") from None
    raise UserError(f"verify: --against {shown(revision)} is no commit of this repository; see `git log`") from None


def commit_of_tree(root: Path) -> str:
    """The working tree, what git would track of it, as a commit that no branch leads to."""
    with TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git(root, "add", "--all", "--", ":/", env=index)
        tree = git(root, "write-tree", env=index).decode().strip()
    # The same tree at the same time of day is the same commit: it is found again after a kill.
    who = {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _NOBODY.items()}
    return git(root, "commit-tree", tree, "-m", "the working tree", env=who).decode().strip()


_NOBODY = {"NAME": "rediffuse", "EMAIL": "verify@localhost", "DATE": "2000-01-01T00:00:00+0000"}


def check_clean(root: Path, study: str, file: Path) -> None:
    """Raise UserError where something that decides the rebuild is not committed as it lies here."""
    out = f"reports/{study}"
    paths = [*SOURCES, str(file), out, f":!{out}/timings", f":!{out}/timings.md", f":!{out}/verified.json"]
    listed = git(root, "status", "--porcelain", "--no-renames", "-z", "--", *paths).decode(errors="replace")
    if changed := [entry[3:] for entry in listed.split("\0") if len(entry) > 3]:
        more = f" and {len(changed) - 1} more are" if len(changed) > 1 else " is"
        raise UserError(f"{changed[0]}{more} not committed as it lies here; commit, or give --here to verify that")


def files_at(root: Path, commit: str, folder: str) -> dict[str, bytes]:
    """The files of a folder as a commit has them, by their path in it; none where there is no such folder."""
    if not git(root, "ls-tree", commit, "--", folder):
        return {}
    archive = git(root, "archive", "--format=tar", commit, "--", folder)
    found = {}
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        for member in tar:
            if member.isfile() and (stream := tar.extractfile(member)) is not None:
                name = member.name.encode(errors="surrogateescape").decode(errors="replace")
                found[name.removeprefix(f"{folder}/")] = stream.read()
    return found


@dataclass(frozen=True)
class Scratch:
    """A folder with a commit of the project. `project`: where its params.yaml lies."""

    folder: Path
    project: Path

    @classmethod
    def at(cls, root: Path, name: str) -> "Scratch":
        """The folder of that name, below `root`; what another verification finished is deleted."""
        prefix = git(root, "rev-parse", "--show-prefix").decode().strip()
        folder = (root / "state" / "verify" / name).resolve()
        scratch = cls(folder, folder / "project" / prefix)
        if (folder / "finished").exists():
            remove(folder)
        return scratch

    @contextlib.contextmanager
    def held(self, what: str) -> Iterator[None]:
        """Keep others out. UserError: another process is at work there."""
        descriptor = lock(self.folder.with_name(f"{self.folder.name}.lock"), what)
        try:
            yield
        finally:
            os.close(descriptor)

    @property
    def begun(self) -> bool:
        """Whether the commit lies there whole."""
        return (self.folder / "begun").exists()

    def check_out(self, root: Path, commit: str) -> None:
        """Write the files of the commit, as a repository of its own that borrows the objects of this one."""
        top = self.folder / "project"
        remove(top)
        top.mkdir(parents=True)
        git(top, "init", "--quiet")
        objects = (root / git(root, "rev-parse", "--git-path", "objects").decode().strip()).resolve()
        (top / ".git" / "objects" / "info" / "alternates").write_text(f"{objects}\n")
        shallow = root / git(root, "rev-parse", "--git-path", "shallow").decode().strip()
        if shallow.exists():
            (top / ".git" / "shallow").write_bytes(shallow.read_bytes())
        git(top, "checkout", "--quiet", "--detach", commit)

    def prepare(self, root: Path, loaded: LoadedStudy, raw: dict[str, Any], *, ablations: bool) -> None:
        """Make a study the active one there, give it what it reads from outside and, to train the runs of its
        experiments anew, take their evidence away.
        """
        # MLflow watches, and is part of no result.
        raw = {**raw, "tracking": {**(raw.get("tracking") or {}), "enabled": False}}
        write_atomically(self.project / "params.yaml", yaml.safe_dump(raw, sort_keys=False, allow_unicode=True))
        runs = [run.weights.folder for run in loaded.runs.values() if run.weights is not None]
        for path in (Path("data/downloads"), *named(loaded).values(), *map(Path, runs)):
            here, there = root / path, self.project / path
            if not path.is_absolute() and here.exists() and not there.exists():
                there.parent.mkdir(parents=True, exist_ok=True)
                there.symlink_to(here.resolve())
        if ablations:
            write_atomically(self.project / evidence_file(loaded.study.study), json_text([]))
            remove(self.project / times_file(loaded.study.study))
        (self.folder / "begun").touch()

    def finish(self, keep: bool) -> None:
        """Leave nothing behind, or what was built for the user to look at."""
        if keep:
            (self.folder / "finished").touch()
        else:
            remove(self.folder)

    def run(self, *words: str) -> str:
        """A verb of the project as it lies there; its last line is the reason where it fails."""
        command = [sys.executable, "-m", "rediffuse", *words]
        done = subprocess.run(command, cwd=self.project, env=self.environment, capture_output=True, text=True)
        if done.returncode:
            said = (done.stderr.strip() or "it says nothing").splitlines()[-1]
            raise UserError(f"verify: `rediffuse {' '.join(words)}` of that commit: {one_line(said, 200)}")
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        """The variables that its own code is run with, and nothing logged where the user logs."""
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "SNAKEMAKE_"))}
        paths = filter(None, (str(self.project / "src"), mine.get("PYTHONPATH")))
        return {**mine, "PYTHONPATH": os.pathsep.join(paths)}
