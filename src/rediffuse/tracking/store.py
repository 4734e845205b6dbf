"""MLflow's store: opened, and made by exactly one of several processes that start at once."""

import contextlib
import http.client
import os
import re
import sqlite3
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rediffuse.errors import UserError, one_line
from rediffuse.files import why_not_writable
from rediffuse.pipeline.lock import lock

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment


T = TypeVar("T")
#: Seconds for a store to show that it is there.
PATIENCE = 10


def is_remote(uri: str) -> bool:
    """Whether a tracking URI is that of a server."""
    return uri.lower().startswith(("http:", "https:", "databricks"))


def first_line(error: BaseException) -> str:
    """The first line of an error's message, in short, or its name."""
    return one_line((str(error).strip().splitlines() or [error.__class__.__name__])[0], 150)


def open_store(uri: str, root: Path) -> "MlflowClient":
    """A client of a store that exists and is ready: of several that start at once, one makes it.

    Raises:
        OSError: there is no server where the URI says, or it does not answer.
        ImportError, sqlalchemy.exc.SQLAlchemyError: there is no driver of its database, or no database.
    """
    within(PATIENCE, lambda: _knock(uri))
    # MLflow's own patience is one of minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import logging

    from mlflow import MlflowClient

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # what fails is said in one line

    if is_remote(uri):
        return MlflowClient(uri)
    path = root / "state" / "mlflow.lock"
    while True:
        try:
            descriptor = lock(path, "the creation of the MLflow store")
        except UserError:
            time.sleep(0.2)
            continue
        try:
            client = MlflowClient(uri)
            client.search_experiments(max_results=1)
            return client
        finally:
            os.close(descriptor)


def within(seconds: float, work: Callable[[], T]) -> T:
    """What something gives that may take so long altogether: time limits of libraries hold for each answer,
    or for none.

    Raises what it raises, and TimeoutError when the time is over; it is then left alone, in a thread that ends with the
    process.
    """
    found: list[T] = []
    errors: list[Exception] = []

    def attempt() -> None:
        try:
            found.append(work())
        except Exception as error:
            errors.append(error)

    working = threading.Thread(target=attempt, daemon=True)
    working.start()
    working.join(seconds)
    if errors:
        raise errors[0]
    if not found:
        raise TimeoutError(f"no whole answer within {seconds:.0f} seconds")
    return found[0]


def _knock(uri: str) -> None:
    """See that a server or database listens and answers at all, whatever it says; raise what it raises otherwise."""
    if uri.lower().startswith(("http:", "https:")):
        try:
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=5).close()
        except urllib.error.HTTPError:
            pass
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ssl.SSLError):  # whose certificate it trusts is for MLflow to say
                raise
        except (ValueError, http.client.HTTPException) as error:
            raise OSError(f"it is no server of MLflow's: {error}") from None
    elif re.match(r"(postgresql|mysql|mssql)(\+\w+)?:", uri):  # MLflow would try ten times, for minutes
        import sqlalchemy

        sqlalchemy.create_engine(uri).connect().close()
    elif uri in ("sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:"):
        raise OSError("it lies in memory, and is lost at once; name a file, as sqlite:///mlflow.db")
    elif uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///").split("?")[0])
        if (why := "it is a folder" if path.is_dir() else why_not_writable(path)) is not None:
            raise OSError(why)


def move_in(uri: str, root: Path, experiment: "Experiment", place: str) -> None:
    """Let the experiment of a project that was copied or moved keep its artefacts in this one, at `place`.

    MLflow stores absolute addresses and has no way to change one. Only a store that lies in the project and artefacts
    that lie as a project keeps them are touched.
    """
    old, file = experiment.artifact_location, root / uri.removeprefix("sqlite:///")
    ours = uri.startswith("sqlite:///") and file.resolve().is_relative_to(root.resolve())
    if not ours or old == place or not old.startswith("file:") or not old.endswith(f"/mlartifacts/{experiment.name}"):
        return
    with contextlib.closing(sqlite3.connect(file, timeout=20)) as store, store:
        store.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (place, old))
        moved = "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE substr(artifact_uri, 1, ?) = ?"
        store.execute(moved, (place, len(old) + 1, len(old) + 1, f"{old}/"))
    print(
        f"tracking: artefacts of {experiment.name} were those of another folder ({old}), now of this", file=sys.stderr
    )
