"""What tests of configuration share."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from rediffuse.config import LoadedStudy, load_study

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def load(tmp_path: Path):
    """The smoke study with these experiments and no claims."""

    def with_experiments(**experiments: dict[str, Any]) -> LoadedStudy:
        content = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
        asked = {name.replace("_", "-"): {"question": "What?", **entry} for name, entry in experiments.items()}
        content |= {"experiments": asked, "claims": []}
        content["runs"]["theirs"] = {"weights": {"folder": "elsewhere", "sha256": "a" * 64}}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return load_study(tmp_path / "study.yaml")

    return with_experiments
