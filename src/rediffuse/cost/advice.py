"""Which settings of the hardware would be faster on this machine, and by how much."""

import itertools
import os
import shutil
import time
from dataclasses import dataclass

from torch import nn

from rediffuse.cost.gains import Gain
from rediffuse.cost.study import fails, inputs, on_device
from rediffuse.cost.timing import Timed, inference_pass, interleaved, training_passes
from rediffuse.hardware import Hardware
from rediffuse.models.unet import UNet
from rediffuse.models.unet_config import UNetConfig
from rediffuse.progress import Progress

#: What may be set in every combination; whether to compile, which takes minutes,
#: is tried of the fastest of these alone.
OPTIONS = {"precision": ("float32", "bfloat16"), "channels_last": (False, True)}
ROUNDS = 7


@dataclass(frozen=True)
class Tried:
    """Settings that were timed beside the study's own: what they gain,
    and how long compiling took (0 where it is off).
    """

    hardware: Hardware
    gain: Gain
    compile_seconds: float


@dataclass(frozen=True)
class Advice:
    """All settings that were tried, the fastest in training first, and those that could not be, with the reason."""

    own: Hardware
    tried: tuple[Tried, ...]
    left_out: dict[str, str]

    @property
    def best(self) -> Tried | None:
        """The fastest, where it beat the study's own settings in every round."""
        first = self.tried[0] if self.tried else None
        return first if first and first.gain.training and first.gain.training.low > 1 else None


def told(hardware: Hardware, own: Hardware) -> str:
    """What is set otherwise than the study has it, as a study says it; nothing for the study's own."""
    values = hardware.model_dump(mode="json")
    names = [name for name in (*OPTIONS, "compile") if values[name] != getattr(own, name)]
    return ", ".join(f"{name}: {str(values[name]).lower()}" for name in names)


def advise(config: UNetConfig, training: int, sampling: int, own: Hardware, rounds: int = ROUNDS) -> Advice:
    """Time a network under other settings than the study's, all in turn in each round.

    training, sampling: images at once. rounds: 7 hold the true median between the extremes with 98 % confidence.
    """
    left_out: dict[str, str] = {}

    def timed(ways: list[Hardware]) -> list[Tried]:
        jobs: dict[str, Timed] = {}
        compiling: dict[str, float] = {}
        for way in (own, *ways):
            name, work, start = told(way, own), _work(config, training, sampling, way), time.perf_counter()
            if way.compile and (wrong := fails(work)) is not None:
                left_out[name] = wrong
                continue
            compiling[name] = time.perf_counter() - start if way.compile else 0.0
            jobs |= {f"{kind} {name}": job for kind, job in work.items()}
        with Progress("cost", "round") as progress:
            seconds = interleaved(jobs, repeats=rounds, warmup=1, on_round=progress)

        def gain(name: str) -> Gain:
            pairs = {kind: (seconds[f"{kind} "], seconds[f"{kind} {name}"]) for kind in ("train", "sample")}
            return Gain.of(name, training=pairs["train"], sampling=pairs["sample"])

        names = {told(way, own): way for way in ways if told(way, own) in compiling}
        return [Tried(way, gain(name), compiling[name]) for name, way in names.items()]

    combined = (dict(zip(OPTIONS, values, strict=True)) for values in itertools.product(*OPTIONS.values()))
    tried = timed([way for values in combined if (way := own.model_copy(update=values)) != own])
    fastest = max(tried, key=_training)
    base = fastest.hardware if _training(fastest) > 1 else own
    other = base.model_copy(update={"compile": not own.compile})
    if other.compile and own.device == "cpu" and shutil.which(os.environ.get("CXX", "c++")) is None:
        left_out[told(other, own)] = "there is no C++ compiler"
    else:
        tried += timed([other])
    return Advice(own, tuple(sorted(tried, key=_training, reverse=True)), left_out)


def _training(tried: Tried) -> float:
    return tried.gain.training.median if tried.gain.training else 0.0


def _work(config: UNetConfig, training: int, sampling: int, way: Hardware) -> dict[str, Timed]:
    module: nn.Module = on_device(UNet(config), way)
    if way.compile:
        module.compile(dynamic=False)
    low = way.precision == "bfloat16"
    return {
        "train": training_passes(module, *inputs(config, training, way), bfloat16=low),
        "sample": inference_pass(module, *inputs(config, sampling, way), bfloat16=low),
    }
