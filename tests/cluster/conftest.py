"""The study of seconds, with a training that saves only when it is asked to."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from rediffuse.pipeline.context import Context
from tests.pipeline.conftest import Clone, new_clone
from tests.stages.conftest import do, open_study
from tests.verification.conftest import STUDY


def needs(executor: str) -> pytest.MarkDecorator:
    """A mark: skipped where Snakemake's plugin of an executor is not installed."""
    absent = importlib.util.find_spec(f"snakemake_executor_plugin_{executor.replace('-', '_')}") is None
    return pytest.mark.skipif(absent, reason=f"no snakemake-executor-plugin-{executor}: pip install .[cluster]")


@pytest.fixture(scope="session")
def content() -> dict[str, Any]:
    """What the study says."""
    content = yaml.safe_load(STUDY)
    training = content["defaults"]["training"]
    training |= {"steps": 300, "log_every": 100, "checkpoint_every_s": 3600}
    del training["checkpoint_every"]
    return content


@pytest.fixture(scope="session")
def here(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Context:
    """The study prepared and trained in this process, without a stop."""
    context = open_study(tmp_path_factory.mktemp("here"), content)
    do(context, "prepare")
    do(context, "train", "baseline")
    return context


@pytest.fixture(scope="session")
def clone(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone of the project in which the study is active, and nothing is built."""
    clone = new_clone(tmp_path_factory.mktemp("cluster") / "project")
    (clone.folder / "params.yaml").write_text(yaml.safe_dump(content))
    return clone


def trained(folder: Path) -> dict[str, bytes]:
    """What follows from a training, by name."""
    run = folder / "runs/tiny/baseline/seed0"
    return {name: (run / name).read_bytes() for name in ("weights.safetensors", "history.csv", "receipts/train.json")}
