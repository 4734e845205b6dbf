"""`train`: it learns, reports, stops when it diverges, and its options mean what they say."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rediffuse.diffusion.objectives import Objective
from rediffuse.diffusion.process import DiffusionProcess
from rediffuse.errors import UserError
from rediffuse.models import build_unet, preset
from rediffuse.training import TrainingConfig, TrainingDiverged, TrainingResult, train

IMAGES = np.random.default_rng(0).integers(0, 256, (1, 1, 8, 8), dtype=np.uint8).repeat(16, axis=0)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def run(folder: Path, model: nn.Module | None = None, **options) -> TrainingResult:
    """A short training on one image, repeated; keywords are fields of TrainingConfig or arguments of `train`."""
    settings = {"steps": 6, "batch_size": 8, "learning_rate": 2e-3, "warmup": 0, "log_every": 3, "ema_decay": 0.9}
    arguments = {
        name: options.pop(name)
        for name in ("labels", "objective", "on_log", "on_preview", "on_sample", "held_out", "progress")
        if name in options
    }
    return train(
        model or build_unet(preset("micro-digits"), seed=0),
        DiffusionProcess.create("linear", 100),
        arguments.pop("objective", Objective()),
        IMAGES,
        arguments.pop("labels", None),
        TrainingConfig(**{**settings, **options}),
        seed=1,
        state_dir=folder,
        stamp="stamp",
        **{"progress": False, **arguments},
    )


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest difference of any weight."""
    return max((one[name] - other[name]).abs().max().item() for name in one)


def test_the_loss_falls(tmp_path: Path) -> None:
    history = run(tmp_path, steps=60, log_every=20).history
    assert history[-1]["loss"] < 0.6 * history[0]["loss"]


def test_the_same_call_gives_the_same_weights(tmp_path: Path) -> None:
    assert distance(run(tmp_path / "a").ema_state, run(tmp_path / "b").ema_state) == 0.0


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
    whole, parts = run(tmp_path / "whole"), run(tmp_path / "parts", accumulate=3)
    # Adam divides by the root of tiny squares: rounding in a gradient near 0 moves a weight by up to one rate.
    assert distance(whole.raw_state, parts.raw_state) < 2e-4
    assert parts.history[0]["loss"] == pytest.approx(whole.history[0]["loss"], rel=1e-4)


def test_the_channels_last_layout_trains_alike(tmp_path: Path) -> None:
    plain, last = run(tmp_path / "plain"), run(tmp_path / "last", channels_last=True)
    assert distance(plain.raw_state, last.raw_state) < 2e-4


def test_bfloat16_changes_the_loss_by_its_rounding_only(tmp_path: Path) -> None:
    full, half = run(tmp_path / "full"), run(tmp_path / "half", precision="bfloat16")
    assert half.history[-1]["loss"] == pytest.approx(full.history[-1]["loss"], rel=0.02)
    assert half.history[-1]["loss"] != full.history[-1]["loss"]
    assert all(value.dtype == torch.float32 for value in half.ema_state.values())


def test_the_gradient_is_clipped_to_its_norm(tmp_path: Path) -> None:
    # Under plain Adam the size of the gradient hardly matters; eps makes a gradient of 1e-12 vanish.
    initial = build_unet(preset("micro-digits"), seed=0).state_dict()
    assert distance(run(tmp_path / "clipped", clip_norm=1e-12).raw_state, initial) < 1e-5
    assert distance(run(tmp_path / "free", clip_norm=0.0).raw_state, initial) > 1e-3


def test_dropped_labels_train_the_null_token(tmp_path: Path) -> None:
    def moved(rate: float) -> list[bool]:
        model = build_unet(preset("micro-digits", num_classes=2), seed=0)
        before = model.classes.weight.detach().clone()
        after = run(tmp_path / str(rate), model, labels=np.zeros(16, dtype=int), label_dropout=rate).raw_state
        return (after["classes.weight"] != before).any(dim=1).tolist()

    assert moved(0.0) == [True, False, False]
    assert moved(1.0) == [False, False, True]


def test_label_dropout_needs_a_network_with_a_null_label(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="num_classes"):
        run(tmp_path, labels=np.zeros(16, dtype=int), label_dropout=0.1)


def test_previews_show_the_averaged_network_in_evaluation_mode(tmp_path: Path) -> None:
    seen = []

    def look(step: int, model: nn.Module) -> Tensor:
        seen.append((step, model.training, model.output.weight.clone()))
        return torch.tensor([step])

    result = run(tmp_path, on_preview=look, preview_steps=(2, 6))
    assert [entry[:2] for entry in seen] == [(2, False), (6, False)]
    assert torch.equal(seen[-1][2], result.ema_state["output.weight"])
    assert not torch.equal(seen[-1][2], result.raw_state["output.weight"])
    assert {step: value.tolist() for step, value in result.previews.items()} == {2: [2], 6: [6]}


def test_previews_do_not_disturb_the_training(tmp_path: Path) -> None:
    def disturb(step: int, model: nn.Module) -> None:
        torch.rand(step)

    plain = run(tmp_path / "plain", build_unet(preset("micro-digits", dropout=0.3), seed=0))
    previewed = run(
        tmp_path / "previewed",
        build_unet(preset("micro-digits", dropout=0.3), seed=0),
        on_preview=disturb,
        preview_steps=(1, 2, 3),
    )
    assert distance(plain.raw_state, previewed.raw_state) == 0.0


def test_samples_are_asked_of_both_networks_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    seen = []

    def draw(step: int, averaged: nn.Module, raw: nn.Module) -> dict[str, Tensor]:
        seen.append((averaged.training, raw.training))
        return {"averaged": averaged.output.weight.clone(), "raw": raw.output.weight.clone()}

    result = run(tmp_path, steps=5, on_sample=draw, sample_every=2)
    assert list(result.samples) == [2, 4, 5]
    assert set(seen) == {(False, False)}
    assert torch.equal(result.samples[5]["averaged"], result.ema_state["output.weight"])
    assert torch.equal(result.samples[5]["raw"], result.raw_state["output.weight"])
    assert not torch.equal(result.samples[5]["raw"], result.samples[5]["averaged"])


def test_drawing_samples_does_not_disturb_the_training_nor_count_as_its_time(tmp_path: Path) -> None:
    def draw(step: int, averaged: nn.Module, raw: nn.Module) -> dict[str, Tensor]:
        time.sleep(0.5)
        return {"raw": torch.rand(step)}

    plain = run(tmp_path / "plain", build_unet(preset("micro-digits", dropout=0.3), seed=0), steps=3)
    network = build_unet(preset("micro-digits", dropout=0.3), seed=0)
    watched = run(tmp_path / "watched", network, steps=3, on_sample=draw, sample_every=1)
    assert distance(plain.raw_state, watched.raw_state) == 0.0
    assert watched.sampling_seconds >= 1.5 > watched.seconds


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


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(
    value: float, tmp_path: Path
) -> None:
    with pytest.raises(
        TrainingDiverged, match=r"diverged at step 5: the loss is (nan|inf); .* of step 4, .*checkpoint.pt"
    ):
        run(tmp_path, Exploding(5, value), checkpoint_every=2)
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]
    assert kept["step"] == 4
    assert torch.isfinite(kept["model"]["scale"]).all()


def test_a_checkpoint_is_not_written_over_by_the_step_that_diverged(tmp_path: Path) -> None:
    with pytest.raises(TrainingDiverged, match="step 4"):
        run(tmp_path, Exploding(4, float("nan")), checkpoint_every=2)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["step"] == 2


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
    assert distance(compiled.raw_state, run(tmp_path / "eager", model, steps=3).raw_state) < 1e-5
    assert list(compiled.raw_state) == ["convolution.weight", "convolution.bias"]
