"""The fixtures of the networks' tests, and what the tests of other projects' files share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rediffuse.errors import UserError
from tests.models.conftest import awake, images

__all__ = ["awake", "images"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """The one line in which something is refused."""
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) <= 300
    return line
