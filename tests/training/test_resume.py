"""kill -9 at any moment and the same call again: the same bytes in the end, by killing real processes.

Run as a program, this file starts the processes that get killed: for each line "STATE_DIR:MOMENT" on stdin it forks
one, which says on stdout "PID" when the moment has come and waits for its end. Forking saves importing torch each time.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from rediffuse.diffusion.objectives import Objective
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.diffusion.randomness import counted_normal
from rediffuse.models import build_unet, preset
from rediffuse.training import Denoising, TrainingConfig, TrainingResult, train
from rediffuse.training.diverged import TrainingDiverged

STEPS, CHECKPOINT_EVERY, LOG_EVERY = 14, 5, 3
SNAPSHOTS = (2, 5, 12)


def run(
    state_dir: Path, on_log=None, stamp: str = "stamp", snapshots: tuple[int, ...] = SNAPSHOTS, **options
) -> TrainingResult:
    """A short run that uses everything with a state: dropout, labels, flips, learned variance, importance sampling."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    settings = {
        "steps": STEPS,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "warmup": 4,
        "decay": "cosine",
        "ema_decay": 0.9,
        "ema_warmup": True,
        "flip": True,
        "label_dropout": 0.3,
        "timestep_sampling": "loss-second-moment",
        "log_every": LOG_EVERY,
        "checkpoint_every": CHECKPOINT_EVERY,
    }
    config = TrainingConfig(**{**settings, **options})
    learner = Denoising(
        build_unet(preset("micro-digits", out_channels=2, num_classes=3, dropout=0.2), seed=5),
        DiffusionProcess.create("cosine", 3),
        Objective(variance="learned-range", loss="hybrid"),
        random.integers(0, 256, (20, 1, 8, 8), dtype=np.uint8),
        random.integers(0, 3, 20),
        config,
        7,
        held_out=random.integers(0, 256, (4, 1, 8, 8), dtype=np.uint8),
        held_out_labels=np.zeros(4, dtype=np.int64),
    )
    return train(
        learner, config, 7, state_dir=state_dir, stamp=stamp, snapshots=snapshots, on_log=on_log, progress=False
    )


def hang() -> None:
    """Tell the test that the moment has come, and wait to be killed."""
    print(os.getpid(), flush=True)
    time.sleep(600)


def run_until(state_dir: Path, moment: str) -> None:
    """Train until the moment: "log N" (row of step N),
    or "checkpoint N" or "snapshot N" (half of the N-th is written).
    """
    kind, number = moment.split()
    if kind != "log":
        suffix = {"checkpoint": ".partial", "snapshot": ".safetensors"}[kind]
        written, fsync = [], os.fsync

        def held_fsync(descriptor: int) -> None:
            if Path(f"/dev/fd/{descriptor}").resolve().suffix == suffix:
                written.append(descriptor)
                if len(written) == int(number):
                    os.truncate(f"/dev/fd/{descriptor}", os.fstat(descriptor).st_size // 2)
                    hang()
            fsync(descriptor)

        os.fsync = held_fsync
    run(state_dir, on_log=lambda row: hang() if kind == "log" and row["step"] == int(number) else None)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    counted_normal(0, torch.arange(1), 0, (1,))  # what its first call imports is imported here, once
    for line in sys.stdin:
        if os.fork() == 0:
            state_dir, moment = line.strip().split(":")
            run_until(Path(state_dir), moment)
            return


class Victims:
    """Trainers that stop at a moment, to be killed there."""

    def __init__(self) -> None:
        self.launcher = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, state_dir: Path, moment: str) -> int:
        """The process number of a trainer that has reached the moment."""
        assert self.launcher.stdin is not None
        assert self.launcher.stdout is not None
        self.launcher.stdin.write(f"{state_dir}:{moment}\n")
        self.launcher.stdin.flush()
        return int(self.launcher.stdout.readline())


@pytest.fixture(scope="module")
def victims() -> Iterator[Victims]:
    victims = Victims()
    yield victims
    victims.launcher.kill()
    victims.launcher.communicate()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return run(tmp_path_factory.mktemp("uninterrupted"))


def assert_same(result: TrainingResult, expected: TrainingResult) -> None:
    assert save(result.averaged) == save(expected.averaged)
    assert save(result.raw) == save(expected.raw)
    assert result.history == expected.history
    assert snapshots(result) == snapshots(expected)


def snapshots(result: TrainingResult) -> dict[int, bytes]:
    return {step: path.read_bytes() for step, path in result.snapshots.items()}


def checkpoint(state_dir: Path) -> Path:
    [path] = state_dir.glob("checkpoint.*.pt")
    return path


@pytest.mark.parametrize(
    ("moment", "resumed_from"),
    [
        pytest.param("log 3", None, id="before the first checkpoint"),
        pytest.param("checkpoint 1", None, id="during the first checkpoint's write"),
        pytest.param("log 9", 5, id="between two checkpoints"),
        pytest.param("checkpoint 2", 5, id="during the second checkpoint's write"),
        pytest.param("snapshot 1", None, id="during the first snapshot's write"),
        pytest.param("snapshot 3", 10, id="during the last snapshot's write"),
        pytest.param("log 14", 10, id="before the last checkpoint"),
    ],
)
def test_a_killed_run_ends_with_the_bytes_of_one_never_killed(
    moment: str, resumed_from: int | None, tmp_path: Path, uninterrupted: TrainingResult, victims: Victims
) -> None:
    os.kill(victims.start(tmp_path, moment), signal.SIGKILL)
    result = run(tmp_path)
    assert result.resumed_from == resumed_from
    assert_same(result, uninterrupted)


def test_a_second_trainer_waits_for_an_orphan_and_goes_on_from_what_it_left(
    tmp_path: Path, uninterrupted: TrainingResult, victims: Victims, capfd: pytest.CaptureFixture
) -> None:
    orphan = victims.start(tmp_path, "log 9")
    results: list[TrainingResult] = []
    second = threading.Thread(target=lambda: results.append(run(tmp_path)))
    second.start()
    said = ""
    while "waiting" not in said and second.is_alive():
        time.sleep(0.05)
        said += capfd.readouterr().err
    assert f"process {orphan}" in said
    assert second.is_alive()
    os.kill(orphan, signal.SIGKILL)
    second.join(60)
    assert results[0].resumed_from == 5
    assert_same(results[0], uninterrupted)


def test_the_time_of_a_checkpoint_does_not_change_the_result(tmp_path: Path, uninterrupted: TrainingResult) -> None:
    result = run(tmp_path, checkpoint_every=None, checkpoint_every_s=0.0)
    assert_same(result, uninterrupted)


def test_a_finished_run_is_returned_at_once(tmp_path: Path, uninterrupted: TrainingResult) -> None:
    run(tmp_path)
    rows: list[dict] = []
    result = run(tmp_path, on_log=rows.append)
    assert (result.resumed_from, rows) == (STEPS, [])
    assert_same(result, uninterrupted)


def interrupted(state_dir: Path, **options) -> None:
    """A run that stops between its two checkpoints."""

    class Stop(Exception):
        pass

    def stop(row: dict) -> None:
        if row["step"] == 9:
            raise Stop

    with pytest.raises(Stop):
        run(state_dir, on_log=stop, **options)


@pytest.mark.parametrize("other", [{"stamp": "other"}, {"learning_rate": 2e-3}, {"clip_norm": 0.5}])
def test_the_state_of_another_configuration_is_not_taken_up(
    other: dict, tmp_path: Path, uninterrupted: TrainingResult
) -> None:
    interrupted(tmp_path, **other)
    result = run(tmp_path)
    assert result.resumed_from is None
    assert_same(result, uninterrupted)


def test_a_setting_changed_and_changed_back_keeps_its_resume_state(
    tmp_path: Path, uninterrupted: TrainingResult
) -> None:
    interrupted(tmp_path)
    interrupted(tmp_path, learning_rate=2e-3)
    result = run(tmp_path)
    assert result.resumed_from == 5
    assert_same(result, uninterrupted)


def test_of_other_configurations_the_newest_two_are_kept_and_what_is_removed_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    for rate in (2e-3, 3e-3, 4e-3):
        interrupted(tmp_path, learning_rate=rate)
    capfd.readouterr()
    oldest = min(tmp_path.glob("checkpoint.*.pt"), key=lambda path: path.stat().st_mtime_ns)
    run(tmp_path)
    assert f"removing {oldest}" in capfd.readouterr().err
    kept = {path.name.split(".")[1] for path in tmp_path.glob("checkpoint.*.pt")}
    assert len(kept) == 3
    assert {path.name for path in (tmp_path / "snapshots").iterdir()} == kept
    assert run(tmp_path, learning_rate=4e-3).resumed_from == 5


def test_a_lost_snapshot_makes_a_resumed_training_start_afresh(
    tmp_path: Path, uninterrupted: TrainingResult, capfd: pytest.CaptureFixture
) -> None:
    interrupted(tmp_path)
    [lost] = tmp_path.glob("snapshots/*/step-000002.safetensors")
    lost.unlink()
    result = run(tmp_path)
    assert result.resumed_from is None
    assert_same(result, uninterrupted)
    [line] = capfd.readouterr().err.splitlines()
    assert "the snapshot of step 2 is missing" in line


def test_a_snapshot_of_a_finished_training_that_cannot_be_read_is_made_again(
    tmp_path: Path, uninterrupted: TrainingResult
) -> None:
    path = run(tmp_path).snapshots[12]
    path.write_bytes(path.read_bytes()[:100])
    assert_same(run(tmp_path), uninterrupted)


def flip(path: Path, at: int) -> None:
    """Change one bit of one byte."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_one_bit_of_a_checkpoint_decides_nothing(tmp_path: Path, uninterrupted: TrainingResult) -> None:
    interrupted(tmp_path)
    path = checkpoint(tmp_path)
    weights = torch.load(path, weights_only=True)["state"]["ema"]
    number = max(weights.values(), key=torch.numel)
    flip(path, path.read_bytes().index(number.numpy().tobytes()))
    result = run(tmp_path)
    assert result.resumed_from is None
    assert_same(result, uninterrupted)


def test_a_folder_in_the_place_of_a_snapshot_gives_way(tmp_path: Path, uninterrupted: TrainingResult) -> None:
    path = run(tmp_path).snapshots[5]
    path.unlink()
    (path / "inside").mkdir(parents=True)
    assert_same(run(tmp_path), uninterrupted)


def test_one_bit_of_a_snapshot_decides_nothing(tmp_path: Path, uninterrupted: TrainingResult) -> None:
    path = run(tmp_path).snapshots[5]
    flip(path, path.stat().st_size - 1)
    assert_same(run(tmp_path), uninterrupted)


def test_weights_that_are_no_numbers_in_the_end_are_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Denoising.step

    def broken(self: Denoising, number: int) -> None:
        step(self, number)
        if number == STEPS - 1:  # an update that overflows after a finite loss
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("inf"))

    monkeypatch.setattr(Denoising, "step", broken)
    with pytest.raises(TrainingDiverged, match="is not finite"):
        run(tmp_path)


def test_a_snapshot_that_is_asked_for_later_is_made(tmp_path: Path, uninterrupted: TrainingResult) -> None:
    run(tmp_path, snapshots=(2, 5))
    assert_same(run(tmp_path), uninterrupted)


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage"])
def test_a_broken_checkpoint_is_discarded_with_one_line(
    damage: str, tmp_path: Path, uninterrupted: TrainingResult, capfd: pytest.CaptureFixture
) -> None:
    run(tmp_path)
    path = checkpoint(tmp_path)
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "garbage": b"checkpoint"}[damage])
    result = run(tmp_path)
    assert result.resumed_from is None
    assert_same(result, uninterrupted)
    assert len(capfd.readouterr().err.splitlines()) == 1


class _Bomb:
    def __reduce__(self) -> tuple:
        return (os._exit, (3,))


def test_a_checkpoint_that_carries_code_is_discarded_and_not_run(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    run(tmp_path)
    path = checkpoint(tmp_path)
    torch.save({**torch.load(path, weights_only=True), "state": _Bomb()}, path)
    assert run(tmp_path).resumed_from is None
    assert "cannot be read" in capfd.readouterr().err


def test_beside_the_lock_there_are_the_checkpoint_and_the_snapshots(tmp_path: Path) -> None:
    result = run(tmp_path)
    files = {path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()}
    made = {checkpoint(tmp_path), *result.snapshots.values()}
    assert files == {Path("lock"), *(path.relative_to(tmp_path) for path in made)}
    assert [path.name for path in result.snapshots.values()] == [f"step-{step:06d}.safetensors" for step in SNAPSHOTS]


if __name__ == "__main__":
    main()
