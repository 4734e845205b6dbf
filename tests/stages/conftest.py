"""Studies in temporary folders, for tests that call stages themselves."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from rediffuse.evaluation.features import Features
from rediffuse.evaluation.torchscript import TorchScriptNetwork
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


class Counting:
    """A feature network that counts the images it is shown, and is killed when it has seen `most`."""

    def __init__(self, network: TorchScriptNetwork, most: float = math.inf) -> None:
        self.name, self.dim, self.resize, self.card = network.name, network.dim, network.resize, network.card
        self._network, self._most = network, most
        self.shown = 0

    def extract(
        self,
        images: np.ndarray | torch.Tensor,
        batch_size: int = 32,
        progress: Callable[[int, int], None] | None = None,
    ) -> Features:
        if self.shown >= self._most:
            raise KeyboardInterrupt
        self.shown += len(images)
        return self._network.extract(images, batch_size, progress)


def with_own_network(root: Path) -> Context:
    """The smoke study scored with `Rows`, its images and their statistics made."""
    torch.jit.script(Rows()).save(str(root / "rows.pt"))
    content = smoke_study()
    # Named from the project's folder, which is not where the tests are run.
    content["evaluation"] |= {"features": "torchscript", "weights": "rows.pt"}
    context = open_study(root, content)
    do(context, "prepare")
    do(context, "reference")
    return context
