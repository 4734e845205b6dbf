"""JSON files as they lie on disk."""

import json
from pathlib import Path
from typing import Any

from rediffuse.errors import UserError


def read_json(path: Path) -> Any:
    """Content of a JSON file, None when there is none; UserError when it is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: is not JSON ({error}); remove it and make it again with `dvc repro`") from None
