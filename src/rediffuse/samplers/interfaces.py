"""What a sampler needs from its surroundings: a denoiser, a source of noise, and perhaps a callback.

All three are structural types: anything with these methods will do, the package's own `Denoiser` and `SampleNoise`
first.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Protocol, TypeVar

from torch import Tensor

from rediffuse.diffusion.denoiser import Denoised
from rediffuse.diffusion.process import DiffusionProcess, Time


class DenoiserLike(Protocol):
    """x_t and t -> the estimates of x0, eps and p(x_{t-1} | x_t), for every image of a batch."""

    @property
    def process(self) -> DiffusionProcess:
        """The (respaced) process that `t` indexes; its `num_timesteps` is the number of sampling steps."""
        ...

    def __call__(self, x: Tensor, t: Time) -> Denoised:
        """`x`: [B, C, H, W] at step `t` (0 .. num_timesteps - 1; an int, or int64 [B]) of `process`."""
        ...


class NoiseSource(Protocol):
    """Where randomness comes from; each draw depends on its number only, never on what was drawn before."""

    def initial(self) -> Tensor:
        """x_T, [B, C, H, W]: its shape, dtype and device are those of the samples."""
        ...

    def step(self, k: int) -> Tensor:
        """The sampler's draw number `k`, [B, C, H, W]."""
        ...


Callback = Callable[[int, Any, Tensor, Denoised], None]
"""`callback(k, t, x, denoised)` runs at step k = 0, 1, ... with x = x_t as it was before the step and its estimate."""

AnyDenoiser = TypeVar("AnyDenoiser")


def over(denoiser: AnyDenoiser, process: DiffusionProcess) -> AnyDenoiser:
    """The same denoiser over another process (a respaced, shortened or refined one), through any wrappers around it.

    A wrapper is a dataclass whose field `denoiser` holds what it wraps.
    """
    if not is_dataclass(denoiser) or isinstance(denoiser, type):
        raise TypeError(f"{type(denoiser).__name__} is not a dataclass, so its process cannot be exchanged")
    names = {each.name for each in fields(denoiser)}
    if "process" in names:
        return replace(denoiser, process=process)
    return replace(denoiser, denoiser=over(denoiser.denoiser, process))  # type: ignore[attr-defined]


@dataclass
class EvaluationCounter:
    """A denoiser, or the velocity field of a flow, that counts: `forwards` is the number of network evaluations (NFE)
    of the whole batch so far.

    Both halves of classifier-free guidance go through the network in one evaluation. What `over` makes of it counts on
    in the same place.
    """

    denoiser: Any
    count: list[int] = field(default_factory=lambda: [0], repr=False)

    @property
    def forwards(self) -> int:
        """Network evaluations so far."""
        return self.count[0]

    @property
    def process(self) -> DiffusionProcess:
        """The denoiser's process."""
        return self.denoiser.process

    def __call__(self, x: Tensor, t: Time) -> Denoised:
        """The denoiser's estimates, counted."""
        self.count[0] += 1
        return self.denoiser(x, t)
