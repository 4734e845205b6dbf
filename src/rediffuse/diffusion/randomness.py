"""Counted randomness: every draw is a function of (seed, purpose, index, step), never of history.

Seeds are derived by BLAKE2b. Noise comes from Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
as easy as 1, 2, 3", SC 2011), a block cipher over a counter, written with integer tensor operations, so that the noise
of image i does not depend on the batch it is in, the shard, the order of the draws or the device.
"""

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import torch
from torch import Tensor

from rediffuse.errors import UserError

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
# Blocks done at a time on a CPU: the half dozen int64 buffers of that length stay in its second-level cache.
_CPU_BLOCKS = 1 << 14
# Steps whose noise is made in one go on an accelerator.
_STEPS_AHEAD = 8


def derive_seed(seed: int, *purpose: int | str) -> int:
    """A 63-bit seed for one purpose, the same on every machine and Python version.

    The parts are encoded with their type and length, so that ("ab", "c") and ("a", "bc"), or 1 and "1", differ.
    """
    digest = blake2b(digest_size=8)
    for part in (operator.index(seed), *purpose):
        text = part if isinstance(part, str) else str(operator.index(part))
        body = text.encode()
        digest.update(f"{'s' if isinstance(part, str) else 'i'}{len(body)}:".encode() + body)
    return int.from_bytes(digest.digest(), "big") >> 1


def generator(seed: int, *purpose: int | str, device: str | torch.device = "cpu") -> torch.Generator:
    """A `torch.Generator` seeded for one purpose; its stream belongs to one device type (see `counted_normal`)."""
    return torch.Generator(device=device).manual_seed(derive_seed(seed, *purpose))


def philox4x32(
    counter: Sequence[Tensor], key: tuple[int | Tensor, int | Tensor]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10 of four counter words and two key words.

    Args:
        counter: four int64 tensors holding values in [0, 2³²); they are broadcast against one another.
        key: two integers in [0, 2³²), or int64 tensors of no dimension that hold them.

    Returns:
        Four int64 tensors of the broadcast shape, values in [0, 2³²).
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        # int64 products wrap, which leaves their low 64 bits right. c1 and c3 keep garbage above bit 31 until they are
        # mixed into a word that is masked: this saves two operations a round.
        low, high = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0 = _mix(high, c1, k0)
        c2 = _mix(low, c3, k1)
        c1, c3 = high, low
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    shape = torch.broadcast_shapes(c0.shape, c2.shape)
    return c0.expand(shape), (c1 & _MASK).expand(shape), c2.expand(shape), (c3 & _MASK).expand(shape)


def _mix(product: Tensor, word: Tensor, key: int | Tensor) -> Tensor:
    shifted = product >> 32
    mixed = shifted.bitwise_xor_(word) if shifted.shape == word.shape else shifted ^ word
    return mixed.bitwise_xor_(key).bitwise_and_(_MASK)


def counted_normal(
    seed: int,
    indices: Tensor,
    step: int,
    shape: Sequence[int],
    *,
    purpose: str = "noise",
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
    compiled: bool = False,
) -> Tensor:
    """Standard normal noise that is a pure function of (seed, purpose, index, step).

    Args:
        indices: int64 [B], the index of each sample, at least 0.
        step: number of the draw, in [0, 2³²).
        shape: shape of one sample.
        device: where to make the noise; default the device of `indices`.
        compiled: make it in a few kernels by torch's compiler, which takes seconds the first time in a process.

    Returns:
        [B, *shape] of `dtype`. The integers are the same everywhere; Box–Muller runs in float64 and is then cast, so
        that devices agree to float64 rounding.
    """
    return counted_normals(
        seed, indices, [step], shape, purpose=purpose, dtype=dtype, device=device, compiled=compiled
    )[0]


def counted_normals(
    seed: int,
    indices: Tensor,
    steps: Sequence[int],
    shape: Sequence[int],
    *,
    purpose: str = "noise",
    dtype: torch.dtype = torch.float32,
    device: str | torch.device | None = None,
    compiled: bool = False,
) -> Tensor:
    """`counted_normal` of several steps at once: [len(steps), B, *shape]."""
    if steps and not (min(steps) >= 0 and max(steps) <= _MASK):
        raise UserError("the step of a counted draw must lie in [0, 2**32)")
    device = torch.device(device) if device is not None else indices.device
    indices = indices.to(device=device, dtype=torch.int64).reshape(-1)
    derived = derive_seed(seed, purpose)
    key: tuple[int | Tensor, int | Tensor] = (derived & _MASK, derived >> 32)
    size, normals = math.prod(shape), _normals
    if compiled:  # for all seeds at once: a number would be compiled into the kernel
        normals, key = _compiled_normals(), tuple(torch.tensor(key, device=device))
    blocks = -(-size // 4)
    rows = max(1, _CPU_BLOCKS // max(blocks, 1)) if device.type == "cpu" else len(indices) * len(steps)
    block = torch.arange(blocks, device=device)[None]
    draw = torch.tensor(list(steps), device=device)[:, None].expand(-1, len(indices)).reshape(-1, 1)
    sample = indices.repeat(len(steps))[:, None]
    out = torch.empty(len(sample), size, dtype=dtype, device=device)
    for start in range(0, len(sample), max(rows, 1)):
        part = slice(start, start + rows)
        out[part] = normals(block, draw[part], sample[part], *key)[:, :size]
    return out.reshape(len(steps), len(indices), *shape)


def _normals(block: Tensor, draw: Tensor, sample: Tensor, low: int | Tensor, high: int | Tensor) -> Tensor:
    """The normals of whole blocks, float64 [N, 4 K], from block [1, K], draw and sample [N, 1],
    and the two key words.
    """
    words = philox4x32((block, draw, sample & _MASK, sample >> 32), (low, high))
    return torch.cat(_box_muller(*words), dim=1)


@functools.cache
def _compiled_normals() -> Callable[..., Tensor]:
    return torch.compile(_normals, dynamic=True)


def _box_muller(u0: Tensor, u1: Tensor, u2: Tensor, u3: Tensor) -> list[Tensor]:
    """Four normals a block, from uniforms (u + ½)·2⁻³² that are never 0: the largest is 6.8 standard deviations."""
    normals = []
    for radial, angular in ((u0, u1), (u2, u3)):
        radius = radial.double().add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
        angle = angular.double().add_(0.5).mul_(2.0 * math.pi * 2.0**-32)
        normals += [angle.cos().mul_(radius), angle.sin_().mul_(radius)]
    return normals


@dataclass(frozen=True, eq=False)
class SampleNoise:
    """The noise of a batch of samples, drawn by (seed, index, step): what every sampler takes.

    Args:
        seed: seed of the whole set of samples.
        indices: int64 [B], index of each sample of the batch in the set.
        shape: shape of one sample, C×H×W.
        initial_temperature: standard deviation of x_T.
        step_temperature: standard deviation of the noise of the steps; 0 leaves their mean.
        steps_ahead: steps whose noise is made in one go, which changes no number; default 1 on a CPU, else 8: a draw
            that is not compiled is some 120 small kernels, whose launches an accelerator would wait for.
        compiled: see `counted_normal`.
    """

    seed: int
    indices: Tensor
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    device: str | torch.device | None = None
    initial_temperature: float = 1.0
    step_temperature: float = 1.0
    steps_ahead: int | None = None
    compiled: bool = False
    _ahead: dict[int, Tensor] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("initial_temperature", "step_temperature"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least 0")

    def initial(self) -> Tensor:
        """x_T, [B, *shape]."""
        return self._draw("initial", 0, self.initial_temperature)

    def step(self, k: int) -> Tensor:
        """The k-th noise of the sampler, [B, *shape]."""
        on_cpu = torch.device(self.device or self.indices.device).type == "cpu"
        ahead = self.steps_ahead or (1 if on_cpu else _STEPS_AHEAD)
        if ahead == 1:
            return self._draw("step", k, self.step_temperature)
        chunk, place = divmod(k, ahead)
        if chunk not in self._ahead:
            self._ahead.clear()
            steps = range(chunk * ahead, (chunk + 1) * ahead)
            self._ahead[chunk] = self._counted("step", steps).mul_(self.step_temperature)
        return self._ahead[chunk][place].clone()

    def _draw(self, purpose: str, k: int, temperature: float) -> Tensor:
        noise = self._counted(purpose, [k])[0]
        return noise if temperature == 1.0 else noise.mul_(temperature)

    def _counted(self, purpose: str, steps: Sequence[int]) -> Tensor:
        how = {"purpose": purpose, "dtype": self.dtype, "device": self.device, "compiled": self.compiled}
        return counted_normals(self.seed, self.indices, steps, self.shape, **how)  # type: ignore[arg-type]
