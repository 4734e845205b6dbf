"""Where the time of a network's passes goes: torch's profile by operator."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import DeviceType

from rediffuse.cost.timing import inference_pass, training_passes
from rediffuse.training.adam import Adam

SHOWN = 8
Inputs = tuple[Tensor, Tensor | None]


def profiled(work: Callable[[], object], device: torch.device) -> Any:
    """torch's profiler after `work`, which was done once before."""
    from torch.profiler import ProfilerActivity, profile

    work()
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    with profile(activities=activities) as profiler:
        work()
    return profiler


def operators(network: nn.Module, training: Inputs, sampling: Inputs) -> dict[str, list[dict[str, Any]]]:
    """Shares of the time by operator of a forward pass without gradients and of a training step, the largest first."""
    x, y = sampling
    passes = training_passes(network, *training, keep=True)
    adam = Adam(list(network.parameters()), (0.9, 0.999))

    def step() -> None:
        passes()
        adam.step(1e-4)

    works: dict[str, Callable[[], object]] = {"forward": inference_pass(network, x, y), "training": step}
    return {name: shares(_self_times(profiled(work, x.device), x.device)) for name, work in works.items()}


def _self_times(profiler: Any, device: torch.device) -> dict[str, tuple[float, int]]:
    """Microseconds inside each operator itself, and its calls.

    A GPU's kernels have rows of their own beside those of the operators that launched them, which hold their time, too.
    """
    which = "self_cpu_time_total" if device.type == "cpu" else "self_device_time_total"
    rows = [one for one in profiler.key_averages() if one.device_type == DeviceType.CPU]
    return {one.key: (float(getattr(one, which)), int(one.count)) for one in rows}


def shares(times: Mapping[str, tuple[float, int]], shown: int = SHOWN) -> list[dict[str, Any]]:
    """The operators that take most time, each with its share of all and its calls, and the rest in one line."""
    whole = sum(time for time, _ in times.values())
    ranked = sorted(times.items(), key=lambda entry: -entry[1][0])
    rows = [(name.removeprefix("aten::"), time, calls) for name, (time, calls) in ranked[:shown]]
    if rest := ranked[shown:]:
        rows.append((f"{len(rest)} others", sum(time for _, (time, _) in rest), sum(n for _, (_, n) in rest)))
    return [{"operator": name, "share": time / whole, "calls": calls} for name, time, calls in rows]
