"""The diffusion process q: its tables, closed forms and posterior, and respaced versions of it.

Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models" (2020), hereafter DDPM; Nichol and Dhariwal, "Improved
Denoising Diffusion Probabilistic Models" (2021), hereafter IDDPM. t counts from 0 to T−1, and ᾱ at "t = −1" is 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rediffuse.diffusion.schedules import make_betas
from rediffuse.errors import UserError

#: A time: one for the whole batch (int), or one for each sample (int64 [B]).
Time = int | Tensor


class Gaussian(NamedTuple):
    """A diagonal Gaussian; each field has the shape of x."""

    mean: Tensor
    variance: Tensor
    log_variance: Tensor


@dataclass(frozen=True, eq=False)
class DiffusionProcess:
    """q(x_t | x_{t−1}) = N(√(1−β_t) x_{t−1}, β_t) for t = 0…T−1, with its tables (float64 [T], on the CPU).

    Methods take x of any float dtype on any device, [B, ...], and return that dtype on that device; coefficients are
    computed in float64 and cast at use.

    Attributes:
        betas: β_t.
        timestep_map: int64 [T], the time a network trained on the original process is given for each t; float64 where
            a solver chose levels between the steps.
        trained: the process the network was trained on, where this one is a respacing of it; else None.
        alphas, alphas_bar, alphas_bar_prev: α_t, ᾱ_t and ᾱ_{t−1}.
        snr: ᾱ/(1−ᾱ).
        posterior_variance: β̃_t (DDPM eq. 7); β̃_0 is 0.
        posterior_log_variance_clipped: log β̃_t, with β̃_1 in place of the zero at t = 0, as in both papers' code.
        fixed_large_variance: β_t, with β̃_1 at t = 0 where β_0 gives a worse likelihood (both codes again).
        posterior_mean_x0, posterior_mean_xt: the coefficients of DDPM eq. 7.
    """

    betas: Tensor
    timestep_map: Tensor = None  # type: ignore[assignment]
    trained: "DiffusionProcess | None" = None
    alphas: Tensor = field(init=False, repr=False)
    alphas_bar: Tensor = field(init=False, repr=False)
    alphas_bar_prev: Tensor = field(init=False, repr=False)
    snr: Tensor = field(init=False, repr=False)
    posterior_variance: Tensor = field(init=False, repr=False)
    posterior_log_variance_clipped: Tensor = field(init=False, repr=False)
    fixed_large_variance: Tensor = field(init=False, repr=False)
    posterior_mean_x0: Tensor = field(init=False, repr=False)
    posterior_mean_xt: Tensor = field(init=False, repr=False)
    _tables: dict[str, Tensor] = field(init=False, repr=False, default_factory=dict)
    _on_devices: dict[tuple[Any, ...], Tensor] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        betas = torch.as_tensor(self.betas, dtype=torch.float64, device="cpu").clone()
        if betas.ndim != 1 or not len(betas) or not bool(((betas > 0) & (betas < 1)).all()):
            raise UserError("betas must be a vector of numbers above 0 and below 1")
        alphas = 1 - betas
        alphas_bar = torch.cumprod(alphas, 0)
        alphas_bar_prev = torch.cat([alphas_bar.new_ones(1), alphas_bar[:-1]])
        posterior_variance = betas * (1 - alphas_bar_prev) / (1 - alphas_bar)
        # A process of one step has no β̃_1 to stand for β̃_0 = 0: its β_0 does.
        first = posterior_variance[1:2] if len(betas) > 1 else betas
        posterior_clipped = torch.cat([first, posterior_variance[1:]])
        tables = {
            "betas": betas,
            "alphas": alphas,
            "alphas_bar": alphas_bar,
            "alphas_bar_prev": alphas_bar_prev,
            "snr": alphas_bar / (1 - alphas_bar),
            "posterior_variance": posterior_variance,
            "posterior_log_variance_clipped": posterior_clipped.log(),
            "fixed_large_variance": torch.cat([first, betas[1:]]),
            "posterior_mean_x0": betas * alphas_bar_prev.sqrt() / (1 - alphas_bar),
            "posterior_mean_xt": (1 - alphas_bar_prev) * alphas.sqrt() / (1 - alphas_bar),
        }
        if self.timestep_map is None:
            object.__setattr__(self, "timestep_map", torch.arange(len(betas)))
        for name, table in tables.items():
            object.__setattr__(self, name, table)
        self._tables.update(
            tables,
            signal=alphas_bar.sqrt(),
            noise=(1 - alphas_bar).sqrt(),
            marginal_variance=1 - alphas_bar,
            marginal_log_variance=torch.log1p(-alphas_bar),
            step_signal=alphas.sqrt(),
            step_noise=betas.sqrt(),
            log_betas=betas.log(),
            fixed_large_log_variance=tables["fixed_large_variance"].log(),
        )

    @classmethod
    def create(cls, schedule: str, timesteps: int) -> "DiffusionProcess":
        """The process of a named schedule (`make_betas`)."""
        return cls(make_betas(schedule, timesteps))

    @property
    def num_timesteps(self) -> int:
        """T."""
        return len(self.betas)

    def respace(self, kept: Sequence[int]) -> "DiffusionProcess":
        """The process that visits only the `kept` steps: β'_i = 1 − ᾱ_{kept[i]}/ᾱ_{kept[i−1]} (IDDPM, §4).

        Its marginals are those of this process at the kept steps, and `timestep_map` tells the network's own times.
        """
        steps = sorted({int(step) for step in kept})
        if not steps or steps[0] < 0 or steps[-1] >= self.num_timesteps:
            raise UserError(f"the steps kept must lie in 0…{self.num_timesteps - 1}, and there must be at least one")
        alphas_bar = self.alphas_bar[steps]
        betas = 1 - alphas_bar / torch.cat([alphas_bar.new_ones(1), alphas_bar[:-1]])
        return DiffusionProcess(betas, self.timestep_map[steps], self.origin)

    @property
    def origin(self) -> "DiffusionProcess":
        """The process the network was trained on: this one unless it is a respacing."""
        return self.trained or self

    def at(self, name: str, t: Time, x: Tensor) -> Tensor | float:
        """A table's value at t, ready to multiply x: a float for an int t, else of x's dtype and device, [B, 1, …]."""
        if isinstance(t, int):
            self._check(t, t)
            return self._tables[name][t].item()
        if t.device.type == "cpu" and t.numel():
            self._check(int(t.min()), int(t.max()))
        table = self.table_on(x.device, name, lambda: self._tables[name], x.dtype)
        return table[t.to(x.device)].reshape(-1, *(1,) * (x.ndim - 1))

    def table_on(
        self, device: torch.device, name: str, make: Callable[[], Tensor], dtype: torch.dtype | None = None
    ) -> Tensor:
        """What `make` gives, on a device and of a dtype (its own where none is named), made and copied there once."""
        key = (name, dtype, device)
        if key not in self._on_devices:
            self._on_devices[key] = make().to(device=device, dtype=dtype)
        return self._on_devices[key]

    def spread(self, name: str, t: Time, x: Tensor) -> Tensor:
        """A table's value at t with the shape of x (expanded, not copied)."""
        return torch.as_tensor(self.at(name, t, x), dtype=x.dtype, device=x.device).expand_as(x)

    def model_time(self, t: Time, x: Tensor) -> Tensor:
        """The time a network is given for t: [B] on x's device, in the dtype of `timestep_map`."""
        if isinstance(t, int):
            self._check(t, t)
            time = self.timestep_map[t]
            return torch.full((len(x),), time.item(), dtype=time.dtype, device=x.device)
        return self.table_on(x.device, "timestep_map", lambda: self.timestep_map)[t.to(x.device)]

    def _check(self, low: int, high: int) -> None:
        # A negative t would silently read the table from its end.
        if low < 0 or high >= self.num_timesteps:
            raise UserError(f"t = {low if low < 0 else high} is outside 0…{self.num_timesteps - 1}")

    def q_mean_variance(self, x0: Tensor, t: Time) -> Gaussian:
        """q(x_t | x_0) = N(√ᾱ_t x_0, 1 − ᾱ_t) (DDPM eq. 4)."""
        return Gaussian(
            self.at("signal", t, x0) * x0,
            self.spread("marginal_variance", t, x0),
            self.spread("marginal_log_variance", t, x0),
        )

    def q_sample(self, x0: Tensor, t: Time, noise: Tensor) -> Tensor:
        """x_t = √ᾱ_t x_0 + √(1 − ᾱ_t) ε."""
        return self.at("signal", t, x0) * x0 + self.at("noise", t, x0) * noise

    def q_step(self, x_prev: Tensor, t: Time, noise: Tensor) -> Tensor:
        """x_t from x_{t−1}: √(1 − β_t) x_{t−1} + √β_t ε (DDPM eq. 2)."""
        return self.at("step_signal", t, x_prev) * x_prev + self.at("step_noise", t, x_prev) * noise

    def q_posterior_mean(self, x0: Tensor, xt: Tensor, t: Time) -> Tensor:
        """μ̃_t(x_t, x_0) (DDPM eq. 7)."""
        return self.at("posterior_mean_x0", t, xt) * x0 + self.at("posterior_mean_xt", t, xt) * xt

    def q_posterior(self, x0: Tensor, xt: Tensor, t: Time) -> Gaussian:
        """q(x_{t−1} | x_t, x_0), with the log-variance clipped at t = 0 (DDPM eqs. 6, 7)."""
        return Gaussian(
            self.q_posterior_mean(x0, xt, t),
            self.spread("posterior_variance", t, xt),
            self.spread("posterior_log_variance_clipped", t, xt),
        )
