"""Every command of docs/evaluation-cli.md runs as it stands there."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rediffuse import cli
from rediffuse.files import sha256

PAGE = Path(__file__).parents[2] / "docs" / "evaluation-cli.md"
COMMANDS = [line.strip() for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("    rediffuse ")]


class Inception(torch.nn.Module):
    """The interface of inception-2015-12-05.pt around two small layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(48, 2048), torch.nn.ReLU()
        )
        self.output = torch.nn.Linear(2048, 1008)

    def forward(self, img: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return self.layers((img - 128) / 128)


class Network(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder that holds the files the page names."""
    folder = tmp_path_factory.mktemp("page")
    random = np.random.default_rng(0)
    for name in ("samples", "real"):
        (folder / name).mkdir()
        images = random.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8)
        for position, image in enumerate(images):
            Image.fromarray(image).save(folder / name / f"{position:03d}.png")
        np.savez(folder / f"{name}.npz", images=images)
    (folder / "real.npz").unlink()
    torch.manual_seed(0)
    torch.jit.script(Inception()).save(str(folder / "inception-2015-12-05.pt"))
    torch.jit.script(Network()).save(str(folder / "network.pt"))
    np.savez(folder / "cifar10_clean_train_32.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_a_command_of_the_page_runs(folder, command, monkeypatch, capsys):
    arguments = shlex.split(command)
    if "inception-2015-12-05.pt" in arguments:
        # The published weights are not at hand; the page says that others need their digest.
        arguments += ["--weights-sha256", sha256(folder / "inception-2015-12-05.pt")]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code, capsys.readouterr().err
    said = capsys.readouterr().out
    if arguments[1] == "statistics":
        assert (folder / arguments[arguments.index("--output") + 1]).is_file()
    else:
        assert "FID" in said if "inception-v3" in arguments else "Fréchet distance" in said
    if "score.json" in arguments:
        assert json.loads((folder / "score.json").read_text())["metrics"]["frechet_distance"]["n"] == 20


def test_the_page_names_both_verbs_and_every_network():
    assert {shlex.split(command)[1] for command in COMMANDS} == {"evaluate", "statistics"}
    used = {
        shlex.split(command)[shlex.split(command).index("--features") + 1]
        for command in COMMANDS
        if "--features" in command
    }
    assert used == {"inception-v3", "inception-v3-clean", "torchscript"}
