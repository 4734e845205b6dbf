"""Files of JSON as a report reads them, and the number of parameters that a file of weights holds."""

import json
import math
from pathlib import Path
from typing import Any

from rediffuse.errors import UserError

#: Ends of the names of what a normalisation keeps beside its parameters.
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


def read_json(path: Path) -> Any:
    """Content of a JSON file, None when there is none; UserError when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: is not JSON ({error}); remove it and make it again with `dvc repro`") from None


def count_parameters(weights: Path, part: str = "") -> int | None:
    """Parameters in a safetensors file whose names begin with `part`, from its header; None when there is no file."""
    try:
        with weights.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        shapes = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError):
        raise UserError(f"{weights}: is not a file of weights; run `dvc repro` to make it again") from None
    named = {name: shape for name, shape in shapes.items() if name.startswith(part) and not name.endswith(BUFFERS)}
    return sum(math.prod(shape) for shape in named.values())
