"""Studies in temporary folders, for tests that call stages themselves."""

from pathlib import Path
from typing import Any

import torch
import yaml

from rediffuse.pipeline.context import Context
from rediffuse.pipeline.work import work
from rediffuse.runs.judge import Judge

ROOT = Path(__file__).resolve().parents[2]


class Rows(torch.nn.Module):
    """Features: the mean of each row of pixels."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 3))


def smoke_study() -> dict[str, Any]:
    """What studies/smoke.yaml says, without tracking."""
    content = yaml.safe_load((ROOT / "studies" / "smoke.yaml").read_text())
    content["tracking"] = {"enabled": False}
    return content


def open_study(root: Path, content: dict[str, Any]) -> Context:
    """Write the study into `root` and open it there."""
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    return Context.open(root / "params.yaml", root)


def do(context: Context, stage: str, run: str | None = None, seed: int = 0) -> None:
    """Do one job of a study, as its command does: what it needs must have been done."""
    work(context, context.plan.find(stage, run, seed))


def judge_of(context: Context) -> Judge:
    """What scores the images of a study."""
    return Judge(context.loaded, context.root, context.made_by)
