"""The file that scores or statistics go to: tried before the work, so that none is done for nothing."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rediffuse.errors import UserError, shown
from rediffuse.formats import write_json


def check_score_file(output: Path, reference: str) -> None:
    """Raise UserError, before any work, where the scores cannot be written."""
    check_output(output, ".json")
    if output.resolve() == Path(reference).with_suffix(".json").resolve():
        raise UserError(f"{output} is the card of the reference {reference}: name another file")


def write_scores(output: Path, record: dict[str, Any]) -> None:
    """Write a record of `evaluate_images`. Raises UserError where that fails after all."""
    with writing(output):
        write_json(output, record)


def check_output(output: Path, suffix: str, option: str = "--output") -> None:
    """Raise UserError unless `output` ends in `suffix` and can be written; folders above it may be missing."""
    if output.suffix != suffix or output.is_dir():
        raise UserError(f"{option}: must be a file ending in {suffix}, not {shown(str(output))}")
    there = next(folder for folder in output.absolute().parents if folder.exists())
    with writing(output, option), tempfile.NamedTemporaryFile(dir=there, prefix=f".{output.name}"):
        pass


@contextlib.contextmanager
def writing(output: Path, option: str = "--output") -> Iterator[None]:
    """Make a failure to write `output` one line."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{option}: {output} cannot be written: {error.strerror or error}") from None
