"""`train`: it learns, reports, stops when it diverges, and its options mean what they say."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rediffuse.diffusion.objectives import Objective
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError
from rediffuse.hardware import Hardware
from rediffuse.models import build_unet, preset
from rediffuse.training import Denoising, TrainingConfig, TrainingDiverged, TrainingResult, train

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 1, 8, 8), dtype=np.uint8).repeat(16, axis=0)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def run(folder: Path, model: nn.Module | None = None, **options) -> TrainingResult:
    """A short training on one image, repeated; keywords are options of the training, of its hardware, of the learner or
    of `train`.
    """
    settings = {"steps": 6, "batch_size": 8, "learning_rate": 2e-3, "warmup": 0, "log_every": 3, "ema_decay": 0.9}
    hardware = Hardware(**{name: options.pop(name) for name in Hardware.model_fields if name in options})
    objective, labels = options.pop("objective", Objective()), options.pop("labels", None)
    held_out = options.pop("held_out", None)
    names = ("snapshots", "on_log", "on_snapshot", "progress")
    arguments = {"progress": False} | {name: options.pop(name) for name in names if name in options}
    config = TrainingConfig(**{**settings, **options})
    model = model or build_unet(preset("micro-digits"), seed=0)
    process = DiffusionProcess.create("linear", 100)
    learner = Denoising(model, process, objective, IMAGES, labels, config, 1, hardware, held_out=held_out)
    return train(learner, config, 1, state_dir=folder, stamp="stamp", **arguments)


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest difference of any weight."""
    return max((one[name] - other[name]).abs().max().item() for name in one)


def test_the_loss_falls(tmp_path: Path) -> None:
    history = run(tmp_path, steps=60, log_every=20).history
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]


def test_the_same_call_gives_the_same_weights(tmp_path: Path) -> None:
    assert distance(run(tmp_path / "a").averaged, run(tmp_path / "b").averaged) == 0.0


def test_a_gpu_trains_with_cudnn_by_its_repeatable_algorithms(tmp_path: Path) -> None:
    """`torch.backends.cudnn.flags` switches cuDNN off unless it is told not to: a step then takes ten times as long."""
    seen = []
    cudnn = torch.backends.cudnn
    run(tmp_path, on_log=lambda row: seen.append((cudnn.enabled, cudnn.deterministic, cudnn.benchmark)))
    assert set(seen) == {(True, True, False)}


def test_every_row_has_the_same_columns_and_the_last_row_the_last_step(tmp_path: Path) -> None:
    history = run(tmp_path, steps=7).history
    assert [row["step"] for row in history] == [3, 6, 7]
    assert {tuple(row) for row in history} == {
        ("step", "loss", "loss_q1", "loss_q2", "loss_q3", "loss_q4", "mse", "grad_norm", "learning_rate")
    }


def test_a_learned_variance_adds_the_bound_to_the_history(tmp_path: Path) -> None:
    model = build_unet(preset("micro-digits", out_channels=2), seed=0)
    row = run(tmp_path, model, objective=Objective(variance="learned-range", loss="hybrid")).history[-1]
    assert row["loss"] == pytest.approx(row["mse"] + 0.001 * 100 * row["vlb"], rel=1e-5)


def test_throughput_is_kept_apart_from_the_history(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert [tuple(row) for row in result.throughput] == [("step", "images_per_second", "seconds")] * 2
    last = result.throughput[-1]
    assert last["images_per_second"] > 0
    assert 0 < last["seconds"] <= result.seconds


def test_a_batch_cut_into_parts_trains_like_the_whole(tmp_path: Path) -> None:
    whole, parts = run(tmp_path / "whole"), run(tmp_path / "parts", accumulate=4)
    # Adam divides by the root of tiny squares: rounding in a gradient near 0 moves a weight by up to one rate.
    assert distance(whole.raw, parts.raw) < 2e-4
    assert parts.history[0]["loss"] == pytest.approx(whole.history[0]["loss"], rel=1e-4)


def test_the_channels_last_layout_trains_alike(tmp_path: Path) -> None:
    plain, last = run(tmp_path / "plain"), run(tmp_path / "last", channels_last=True)
    assert distance(plain.raw, last.raw) < 2e-4


def test_bfloat16_changes_the_loss_by_its_rounding_only(tmp_path: Path) -> None:
    full, half = run(tmp_path / "full"), run(tmp_path / "half", precision="bfloat16")
    assert half.history[-1]["loss"] == pytest.approx(full.history[-1]["loss"], rel=0.02)
    assert half.history[-1]["loss"] != full.history[-1]["loss"]
    assert all(value.dtype == torch.float32 for value in half.averaged.values())


def test_the_gradient_is_clipped_to_its_norm(tmp_path: Path) -> None:
    # Under plain Adam the size of the gradient hardly matters; eps makes a gradient of 1e-12 vanish.
    initial = build_unet(preset("micro-digits"), seed=0).state_dict()
    assert distance(run(tmp_path / "clipped", clip_norm=1e-12).raw, initial) < 1e-5
    assert distance(run(tmp_path / "free", clip_norm=0.0).raw, initial) > 1e-3


def test_dropped_labels_train_the_null_token(tmp_path: Path) -> None:
    def moved(rate: float) -> list[bool]:
        model = build_unet(preset("micro-digits", num_classes=2), seed=0)
        before = model.classes.weight.detach().clone()
        after = run(tmp_path / str(rate), model, labels=np.zeros(16, dtype=int), label_dropout=rate).raw
        return (after["classes.weight"] != before).any(dim=1).tolist()

    assert moved(0.0) == [True, False, False]
    assert moved(1.0) == [False, False, True]


def test_label_dropout_needs_a_network_with_a_null_label(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="num_classes"):
        run(tmp_path, labels=np.zeros(16, dtype=int), label_dropout=0.1)


def test_a_snapshot_holds_the_averaged_and_the_raw_weights_of_its_step(tmp_path: Path) -> None:
    result = run(tmp_path / "longer", snapshots=(2, 6))
    short = run(tmp_path / "short", steps=2)
    for step, ended in ((2, short), (6, result)):
        kept = load_file(result.snapshots[step])
        expected = {f"averaged.{k}": v for k, v in ended.averaged.items()} | {
            f"raw.{k}": v for k, v in ended.raw.items()
        }
        assert kept.keys() == expected.keys()
        assert distance(kept, expected) == 0.0
    assert distance(result.averaged, result.raw) > 0.0


def test_a_snapshot_is_written_before_anybody_is_told(tmp_path: Path) -> None:
    there = []
    result = run(
        tmp_path,
        snapshots=(2, 6),
        on_snapshot=lambda step, averaged, raw: there.append(len(list(tmp_path.glob("snapshots/*/*.safetensors")))),
    )
    assert there == [1, 2]
    assert list(result.snapshots) == [2, 6]


def test_both_networks_of_a_snapshot_are_shown_in_evaluation_mode(tmp_path: Path) -> None:
    seen = []

    def look(step: int, averaged: nn.Module, raw: nn.Module) -> None:
        seen.append((step, averaged.training, raw.training, averaged.output.weight.clone(), raw.output.weight.clone()))

    result = run(tmp_path, snapshots=(2, 6), on_snapshot=look)
    assert [entry[:3] for entry in seen] == [(2, False, False), (6, False, False)]
    assert torch.equal(seen[-1][3], result.averaged["output.weight"])
    assert torch.equal(seen[-1][4], result.raw["output.weight"])


def test_looking_at_a_snapshot_does_not_disturb_the_training(tmp_path: Path) -> None:
    def disturb(step: int, averaged: nn.Module, raw: nn.Module) -> None:
        torch.rand(step)

    plain = run(tmp_path / "plain", build_unet(preset("micro-digits", dropout=0.3), seed=0))
    network = build_unet(preset("micro-digits", dropout=0.3), seed=0)
    watched = run(tmp_path / "watched", network, snapshots=(1, 2, 3), on_snapshot=disturb)
    assert distance(plain.raw, watched.raw) == 0.0


def test_looking_at_a_snapshot_does_not_count_as_time_of_training(tmp_path: Path) -> None:
    result = run(tmp_path, steps=3, snapshots=(1, 2, 3), on_snapshot=lambda *_: time.sleep(0.5))
    assert result.seconds < 1.5


def test_the_held_out_loss_is_taken_every_so_many_rows_and_at_the_end(tmp_path: Path) -> None:
    history = run(tmp_path, steps=5, log_every=1, held_out_every=2, held_out=IMAGES[:3]).history
    assert [row["held_out_loss"] is not None for row in history] == [False, True, False, True, True]


def test_the_held_out_loss_falls_on_images_like_those_trained_on(tmp_path: Path) -> None:
    history = run(tmp_path, steps=60, log_every=20, held_out_every=1, held_out=IMAGES[:4]).history
    assert history[-1]["held_out_loss"] < 0.8 * history[0]["held_out_loss"]


class Noisy(nn.Module):
    """Keeps what its dropout drew in each call."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.drawn: list[list[float]] = []

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        self.drawn.append(nn.functional.dropout(torch.ones(64), 0.5).tolist())
        return x * self.scale


def test_every_step_draws_its_own_dropout_and_the_same_in_every_run(tmp_path: Path) -> None:
    one, other = Noisy(), Noisy()
    run(tmp_path / "one", one)
    run(tmp_path / "other", other)
    assert one.drawn == other.drawn
    assert len({tuple(mask) for mask in one.drawn}) == len(one.drawn) == 6


class Exploding(nn.Module):
    """Predicts well until the given call, and then `value`."""

    def __init__(self, call: int, value: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.call, self.value, self.calls = call, value, 0

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        self.calls += 1
        return x * self.scale * (self.value if self.calls == self.call else 0.1)


def checkpoint(folder: Path) -> dict:
    [path] = folder.glob("checkpoint.*.pt")
    return torch.load(path, weights_only=True)["state"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    value: float, tmp_path: Path
) -> None:
    with pytest.raises(
        TrainingDiverged,
        match=r"diverged at step 5: the loss is (nan|inf); .* of step 4, .*checkpoint\.[0-9a-f]{16}\.pt",
    ):
        run(tmp_path, Exploding(5, value), checkpoint_every=2)
    kept = checkpoint(tmp_path)
    assert kept["step"] == 4
    assert torch.isfinite(kept["learner"]["network"]["scale"]).all()


def test_a_checkpoint_is_not_written_over_by_the_step_that_diverged(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="step 4"):
        run(tmp_path, Exploding(4, float("nan")), checkpoint_every=2)
    assert checkpoint(tmp_path)["step"] == 2


def test_a_run_that_diverges_before_its_first_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="step 1: .*there is no checkpoint yet"):
        run(tmp_path, Exploding(1, float("nan")))


def test_progress_off_a_terminal_is_a_few_lines_on_stderr(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    run(tmp_path, steps=20, progress=True)
    printed = capfd.readouterr()
    assert printed.out == ""
    assert [line.split(",")[0] for line in printed.err.splitlines()] == ["training: 20 steps done"]


class Small(nn.Module):
    """One convolution, quick to compile."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        return self.convolution(x) * (1 + t[:, None, None, None] / 1000)


def test_a_compiled_network_trains_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Small()
    initial = {name: value.clone() for name, value in model.state_dict().items()}
    compiled = run(tmp_path / "compiled", model, compile=True, steps=3)
    model = Small()
    model.load_state_dict(initial)
    assert distance(compiled.raw, run(tmp_path / "eager", model, steps=3).raw) < 1e-5
    assert list(compiled.raw) == ["convolution.weight", "convolution.bias"]
