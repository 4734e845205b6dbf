"""Seconds of forward and backward passes: jobs take turns, so that a machine's moods meet all of them alike."""

import contextlib
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rediffuse.errors import UserError

#: What a job measures of itself: a name and seconds for each of its parts.
Timed = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Spread:
    """Median of repeated measurements, and what lies around it: quartiles, or extremes."""

    median: float
    low: float
    high: float
    repeats: int

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Of two values or more.

        Raises:
            UserError: fewer than two values have no quartiles.
        """
        if len(values) < 2:
            raise UserError(f"{len(values)} measurements have no quartiles; use at least 2 repeats")
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    @classmethod
    def extremes(cls, values: list[float]) -> "Spread":
        """Median, smallest and largest; of n independent values these two hold the true median in
        1 − 2·2⁻ⁿ of cases.
        """
        return cls(statistics.median(values), min(values), max(values), len(values))

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True)
class Passes:
    """Seconds of the passes of one network at one batch size, and κ = backward / forward, paired round by round."""

    batch: int
    forward: Spread
    backward: Spread
    kappa: Spread

    @classmethod
    def of(cls, batch: int, rounds: dict[str, list[float]]) -> "Passes":
        """From the rounds of `training_passes`."""
        forward, backward = rounds["forward"], rounds["backward"]
        kappa = [b / f for f, b in zip(forward, backward, strict=True)]
        return cls(batch, Spread.of(forward), Spread.of(backward), Spread.of(kappa))


def interleaved(
    jobs: Mapping[str, Timed],
    *,
    repeats: int,
    warmup: int = 2,
    on_round: Callable[[int, int], object] | None = None,
) -> dict[str, dict[str, list[float]]]:
    """Run all jobs `warmup` + `repeats` times in turn; job → part → the seconds of each repeat.

    Args:
        on_round: called with (rounds done, rounds in all) after each round.
    """
    result: dict[str, dict[str, list[float]]] = {name: {} for name in jobs}
    for number in range(warmup + repeats):
        for name, job in jobs.items():
            for part, seconds in job().items():
                if number >= warmup:
                    result[name].setdefault(part, []).append(seconds)
        if on_round is not None:
            on_round(number + 1, warmup + repeats)
    return result


def training_passes(
    network: nn.Module, x: Tensor, y: Tensor | None = None, *, bfloat16: bool = False, keep: bool = False
) -> Timed:
    """A job that times one forward pass and the backward pass of its mean square, in training mode.

    Args:
        x: images [B, C, H, W] on the network's device; y: labels [B] or None;
            keep: leave the gradients for an optimiser.
    """
    t = torch.arange(len(x), device=x.device) % 1000

    def job() -> dict[str, float]:
        network.train()
        start = _now(x.device)
        with _precision(x.device, bfloat16):
            loss = network(x, t, y).float().square().mean()
        middle = _now(x.device)
        loss.backward()
        end = _now(x.device)
        for parameter in () if keep else network.parameters():
            parameter.grad = None
        return {"forward": middle - start, "backward": end - middle}

    return job


def inference_pass(network: nn.Module, x: Tensor, y: Tensor | None = None, *, bfloat16: bool = False) -> Timed:
    """A job that times one forward pass as sampling makes it: no gradients, one t for all images."""
    t = torch.full((1,), 500, device=x.device)

    def job() -> dict[str, float]:
        network.eval()
        start = _now(x.device)
        with torch.inference_mode(), _precision(x.device, bfloat16):
            network(x, t, y)
        return {"forward": _now(x.device) - start}

    return job


def time_passes(network: nn.Module, x: Tensor, y: Tensor | None = None, *, repeats: int = 5) -> Passes:
    """Forward, backward and κ of one network by itself."""
    job = training_passes(network, x, y)
    return Passes.of(len(x), interleaved({"one": job}, repeats=repeats)["one"])


def time_inference(network: nn.Module, x: Tensor, y: Tensor | None = None, *, repeats: int = 5) -> Spread:
    """One forward pass of one network by itself, without gradients."""
    return Spread.of(interleaved({"one": inference_pass(network, x, y)}, repeats=repeats)["one"]["forward"])


def _precision(device: torch.device, bfloat16: bool) -> contextlib.AbstractContextManager[object]:
    return torch.autocast(device.type, torch.bfloat16) if bfloat16 else contextlib.nullcontext()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
