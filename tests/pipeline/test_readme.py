"""Every command of the README works, in its order, where the study has been built."""

import re
import time
import urllib.request
from pathlib import Path

import pytest

from tests.pipeline.conftest import ROOT, Clone

pytestmark = pytest.mark.xdist_group("pipeline")

README = (ROOT / "README.md").read_text()
COMMANDS = [line.split("  #")[0].strip() for line in README.splitlines() if line.startswith("    ")]


@pytest.fixture(scope="module")
def clone(ablated: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    return ablated.copy(tmp_path_factory.mktemp("readme") / "project")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_works(clone: Clone, command: str):
    if command == "make test":
        # These are the tests it runs.
        assert "pytest" in clone.run("make --dry-run test INSTALLED=")
    elif command.startswith("make"):
        clone.run(f"{command} INSTALLED=")
    elif command.startswith("mlflow ui"):
        server = clone.start(f"exec {command} --port 5099")
        try:
            assert "MLflow" in page("http://127.0.0.1:5099", server)
        finally:
            server.terminate()
            server.communicate()
    else:
        clone.run(command)


def page(address: str, server, seconds: float = 120) -> str:
    """What a server answers, once it does."""
    end = time.monotonic() + seconds
    while True:
        try:
            return urllib.request.urlopen(address, timeout=5).read().decode()
        except OSError:
            assert server.poll() is None, "the server has stopped"
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.5)


def test_its_pictures_and_links_are_there():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / Path(link)).exists()] == []
