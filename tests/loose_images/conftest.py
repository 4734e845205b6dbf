"""A folder with pictures and a small feature network, and the command line to score them with."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from rediffuse import cli

DIM = 12


class Small(torch.nn.Module):
    """12 features of a picture and the logits of 4 classes; nothing is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, DIM, 3, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
        )
        self.head = torch.nn.Linear(DIM, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.features(x / 127.5 - 1)
        return features, self.head(features)


NETWORK = ("--features", "torchscript", "--weights", "small.pt", "--network-size", 16)


class Work:
    """A folder with 300 real digits as pictures, 120 others as pictures and arrays, and a small feature network."""

    def __init__(self, folder, monkeypatch, capsys) -> None:
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        monkeypatch.chdir(folder)
        digits = (load_digits().images * 15.9375).astype(np.uint8)
        self.real, self.fake = digits[:300, None], digits[300:420, None]
        for name, images in (("real", self.real), ("fake", self.fake)):
            (folder / name).mkdir()
            for position, image in enumerate(images):
                Image.fromarray(image[0]).save(folder / name / f"{position:04d}.png")
        self.network = NETWORK
        self.save_network(seed=0)

    def save_network(self, seed: int) -> None:
        torch.manual_seed(seed)
        torch.jit.script(Small()).save(str(self.folder / "small.pt"))

    def run(self, *arguments: object, code: int = 0) -> str:
        """Run a verb; gives stdout, or stderr where it should fail."""
        self.monkeypatch.setattr(sys, "argv", ["rediffuse", *map(str, arguments)])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = self.capsys.readouterr()
        assert (stop.value.code or 0) == code, err
        return err if code else out

    def statistics(self, output: str = "real.npz", images: str = "real", *more: object) -> str:
        return self.run("statistics", "--images", images, "--output", output, *NETWORK, *more)

    def evaluate(self, samples: str = "fake", reference: str = "real.npz", *more: object, code: int = 0) -> str:
        return self.run("evaluate", "--samples", samples, "--reference", reference, *NETWORK, *more, code=code)

    def score(self, samples: str = "fake", reference: str = "real.npz", *more: object) -> dict:
        self.evaluate(samples, reference, "--output", "score.json", *more)
        return json.loads((self.folder / "score.json").read_text())

    def refused(self, *arguments: object) -> str:
        """What an evaluation says that must fail with one line and write nothing."""
        before = sorted(self.folder.rglob("*"))
        said = self.evaluate(*arguments, "--output", "refused.json", code=2)
        lines = [line for line in said.splitlines() if not line.endswith(" done")]
        assert len(lines) == 1
        assert sorted(self.folder.rglob("*")) == before
        return lines[0]


@pytest.fixture
def work(tmp_path, monkeypatch, capsys):
    return Work(tmp_path, monkeypatch, capsys)
