"""A subject on the table: what several checks look at is measured once, when the first asks for it."""

import copy
import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch

from rediffuse.diagnosis.probe import Measured, Probe, noise_levels
from rediffuse.diagnosis.readings import LEVELS
from rediffuse.diagnosis.subject import Subject
from rediffuse.diffusion.denoiser import Denoiser
from rediffuse.diffusion.pixels import to_uint8
from rediffuse.diffusion.randomness import SampleNoise
from rediffuse.diffusion.schedules import respaced_timesteps
from rediffuse.samplers.ddim import ddim

DRAWN = 0  # seed of the samples


@dataclass(frozen=True)
class Outcome:
    """What a check found. verdict: "ok", "finding" or "not checked"; value: what was measured, in words; says: what
    that means, or why it was not measured; numbers: the same as numbers;
    consequence: a finding that another one explains.
    """

    verdict: str
    value: str = ""
    says: str = ""
    numbers: dict[str, Any] = field(default_factory=dict)
    consequence: bool = False


OK, FINDING, NOT_CHECKED = "ok", "finding", "not checked"


def judged(bad: bool, value: str, says: str = "", **numbers: Any) -> Outcome:
    """A finding, which `says` explains, where it is `bad`."""
    return Outcome(FINDING if bad else OK, value, says if bad else "", numbers)


def not_checked(why: str) -> Outcome:
    """Nothing was measured."""
    return Outcome(NOT_CHECKED, says=why)


@dataclass(frozen=True, eq=False)
class Samples:
    """Drawn images, uint8 [N, C, H, W], the classes asked for, and the seconds that took."""

    images: np.ndarray
    asked: np.ndarray | None
    seconds: float


class Case:
    """A subject and how thoroughly it is looked at: images, and steps of sampling."""

    def __init__(self, subject: Subject, images: int = 64, steps: int = 20) -> None:
        self.subject, self.images, self.steps = subject, images, min(steps, subject.process.num_timesteps)
        self.training = subject.training.first(images)
        self.held_out = None if subject.held_out is None else subject.held_out.first(images)

    @cached_property
    def probe(self) -> Probe:
        """The network, to be asked."""
        return Probe(self.subject, self.images)

    @cached_property
    def measured(self) -> Measured:
        """On training images."""
        return self.probe.measure(self.training)

    @cached_property
    def unseen(self) -> Measured | None:
        """On held-out images, where there are any."""
        return None if self.held_out is None else self.probe.measure(self.held_out)

    @cached_property
    def declared(self) -> Measured:
        """At the levels at which readings are compared."""
        return self.probe.measure(self.training, levels=noise_levels(self.subject.process, LEVELS))

    @cached_property
    def other(self) -> Measured | None:
        """The other weights of the same training, as `declared`."""
        weights = self.subject.averaging.other
        if weights is None or self.subject.network is None:
            return None
        network = copy.deepcopy(self.subject.network)
        network.load_state_dict(dict(weights))
        return Probe(replace(self.subject, network=network), self.images).measure(self.training, levels=self.declared.t)

    @cached_property
    def samples(self) -> Samples | None:
        """Drawn by DDIM as the network is said to be used; None where they are not finite."""
        subject, device = self.subject, self.subject.device
        assert subject.network is not None
        process = subject.process.respace(respaced_timesteps(subject.process.num_timesteps, self.steps))
        denoiser = Denoiser(subject.network, process, subject.prediction, subject.variance, clip=subject.clip)
        shape, parts = tuple(subject.training.images.shape[1:]), []
        indices = torch.arange(self.images)
        asked = indices % subject.classes if subject.classes else None
        start = now(device)
        for part in indices.split(64):
            told = denoiser if asked is None else denoiser.with_labels(asked[part].to(device))
            with torch.inference_mode():
                parts.append(ddim(told, SampleNoise(DRAWN, part, shape, device=device)).cpu())
        seconds = now(device) - start
        x = torch.cat(parts)
        if not x.isfinite().all():
            return None
        return Samples(to_uint8(x).numpy(), None if asked is None else asked.numpy(), seconds)


def now(device: str) -> float:
    """Seconds: of this process alone on a CPU, whatever else the machine does; of the clock on an accelerator."""
    return time.process_time() if device == "cpu" else time.perf_counter()
