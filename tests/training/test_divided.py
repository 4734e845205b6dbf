"""A training that several processes share: what one process trains, to rounding, whatever their number.

Processes are started once for each number of them, and do all cases there.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from rediffuse.diffusion.objectives import Objective
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.jobs.processes import group, rank, together
from rediffuse.models import build_unet, preset
from rediffuse.training import Denoising, TrainingConfig, TrainingResult, train
from rediffuse.training.divided import DividedDenoising

STEPS, SAVED = 8, 4
#: All that draws by (seed, step), and all with a state: labels and their dropout, flips, t by importance.
ALL = {
    "accumulate": 2,
    "flip": True,
    "label_dropout": 0.3,
    "timestep_sampling": "loss-second-moment",
    "decay": "cosine",
    "ema_warmup": True,
}
CASES: dict[str, dict[str, Any]] = {"plain": {}, "all": ALL}
#: Of float32. A weight moves by up to 8 * 1e-3 in these steps.
LOSSES, WEIGHTS = 2e-5, 2e-5


def learner(kind: type[Denoising], case: str, **options: Any) -> Denoising:
    random = np.random.default_rng(0)
    whole = case == "all"
    settings = {"steps": STEPS, "batch_size": 16, "learning_rate": 1e-3, "warmup": 4, "ema_decay": 0.9, "log_every": 2}
    return kind(
        build_unet(
            preset("micro-digits", out_channels=1 + whole, num_classes=3 if whole else None, dropout=0.0), seed=5
        ),
        DiffusionProcess.create("cosine", 3),
        Objective(variance="learned-range", loss="hybrid") if whole else Objective(),
        random.integers(0, 256, (40, 1, 8, 8), dtype=np.uint8),
        random.integers(0, 3, 40) if whole else None,
        TrainingConfig(**{**settings, "checkpoint_every": SAVED, **CASES[case]}),
        7,
        **options,
    )


def trained(state: Path, made: Denoising) -> TrainingResult:
    def keep(row: dict) -> None:  # the resume state of the half, before that of the end replaces it
        if row["step"] == SAVED + 2:
            [saved] = state.glob("checkpoint.*.pt")
            (state / "half").mkdir()
            shutil.copy(saved, state / "half")

    return train(made, made.config, 7, state_dir=state, stamp="stamp", on_log=keep, progress=False)


def alone(state: Path, case: str) -> TrainingResult:
    torch.set_num_threads(1)
    return trained(state, learner(Denoising, case))


def shared(meeting: Path, folder: Path, states: dict[str, tuple[str, str]]) -> dict[str, TrainingResult]:
    """What each process does: for each state folder train a case,
    from the half of another folder where one is named.
    """
    torch.set_num_threads(1)
    found = {}
    with group(meeting, "cpu"):
        for state, (case, source) in states.items():
            made = learner(DividedDenoising, case)
            assert isinstance(made, DividedDenoising)
            if rank() == 0:
                if source:
                    shutil.copytree(folder / source / "half", folder / state)
                found[state] = trained(folder / state, made)
            else:
                made.follow()
                assert made.interval.count == 0
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("divided")


@pytest.fixture(scope="module")
def one(folder: Path) -> dict[str, TrainingResult]:
    return {case: alone(folder / f"one-{case}", case) for case in CASES}


@pytest.fixture(scope="module")
def two(folder: Path, one: dict[str, TrainingResult]) -> dict[str, TrainingResult]:
    states = {"two-plain": ("plain", ""), "two-all": ("all", ""), "two-from-one": ("all", "one-all")}
    return together(2, shared, folder, states)[0]


@pytest.fixture(scope="module")
def four(folder: Path, two: dict[str, TrainingResult]) -> dict[str, TrainingResult]:
    states = {"four-all": ("all", ""), "four-from-two": ("all", "two-all"), "four-from-four": ("all", "four-all")}
    return together(4, shared, folder, states)[0]


def assert_agree(result: TrainingResult, expected: TrainingResult) -> None:
    for row, right in zip(result.history, expected.history, strict=True):
        told = {name: value for name, value in right.items() if value is not None}  # no image had t in that quarter
        assert {name: value for name, value in row.items() if value is not None} == pytest.approx(told, rel=LOSSES)
    for mine, right in ((result.averaged, expected.averaged), (result.raw, expected.raw)):
        assert max(float((mine[name] - right[name]).abs().max()) for name in right) <= WEIGHTS


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_trains(case: str, one: dict, two: dict):
    assert_agree(two[f"two-{case}"], one[case])


def test_four_processes_train_what_one_trains(one: dict, four: dict):
    assert_agree(four["four-all"], one["all"])


def test_what_one_process_began_two_end_and_what_two_began_four_end(one: dict, two: dict, four: dict):
    for result in (two["two-from-one"], four["four-from-two"]):
        assert result.resumed_from == SAVED
        assert_agree(result, one["all"])


def test_one_process_ends_what_four_began(folder: Path, one: dict, four: dict):
    result = alone(folder / "four-all/half", "all")
    assert result.resumed_from == SAVED
    assert_agree(result, one["all"])


def test_the_same_number_goes_on_to_the_same_bytes(four: dict):
    result, expected = four["four-from-four"], four["four-all"]
    assert result.resumed_from == SAVED
    assert (save(result.raw), save(result.averaged)) == (save(expected.raw), save(expected.averaged))
    assert result.history == expected.history
