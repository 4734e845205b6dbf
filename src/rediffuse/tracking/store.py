"""MLflow's store: opened, and made by exactly one of several processes that start at once."""

import os
import socket
import time
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

from rediffuse.errors import UserError, one_line
from rediffuse.pipeline.lock import lock

if TYPE_CHECKING:
    from mlflow import MlflowClient


def is_remote(uri: str) -> bool:
    """Whether a tracking URI is that of a server."""
    return uri.startswith(("http:", "https:", "databricks"))


def first_line(error: BaseException) -> str:
    """The first line of an error's message, in short, or its name."""
    return one_line((str(error).strip().splitlines() or [error.__class__.__name__])[0], 150)


def open_store(uri: str, root: Path) -> "MlflowClient":
    """A client of a store that exists and is ready: of several that start at once, one makes it.

    Raises:
        OSError: there is no server where the URI says.
    """
    _knock(uri)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import logging

    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient

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


def _knock(uri: str) -> None:
    """Whether a server listens at all: MLflow itself would try for minutes."""
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme in ("http", "https") and parts.hostname:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname, port), timeout=5).close()
