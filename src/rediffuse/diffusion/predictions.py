"""What a network may predict (ε, x_0, μ, v, score), and the conversions among these given x_t.

With a = √ᾱ_t and s = √(1 − ᾱ_t):  x_t = a x_0 + s ε,  v = a ε − s x_0 (Salimans and Ho 2022, App. D),
score = ∇ log q(x_t | x_0) = −ε/s, and μ = μ̃_t(x_t, x_0) (DDPM eq. 7), with x_0 = (μ − c_t x_t)/c_0.
"""

from torch import Tensor

from rediffuse.diffusion.process import DiffusionProcess, Time
from rediffuse.errors import UserError

#: What a network's output may stand for.
PREDICTIONS: tuple[str, ...] = ("eps", "x0", "mu", "v")
#: What `convert` knows.
QUANTITIES: tuple[str, ...] = (*PREDICTIONS, "score")


def convert(process: DiffusionProcess, value: Tensor, xt: Tensor, t: Time, source: str, target: str) -> Tensor:
    """Turn one quantity into another, given x_t.

    Args:
        value, xt: [B, ...] of one dtype and device, which the result keeps.
        t: int, or int64 [B].
        source, target: "eps", "x0", "mu", "v" or "score".

    Exact to rounding, times the conversion's own condition: x_0 from ε divides by √ᾱ_t, ε from x_0 by √(1 − ᾱ_t).
    """
    if target not in QUANTITIES:
        raise UserError(f"unknown quantity {target!r}; choose one of {', '.join(QUANTITIES)}")
    x0, eps = to_x0_and_eps(process, value, xt, t, source)
    if source == target:
        return value
    if target == "x0":
        return x0
    if target == "eps":
        return eps
    if target == "mu":
        return process.q_posterior_mean(x0, xt, t)
    if target == "v":
        return velocity(process, x0, eps, t)
    return -eps / process.at("noise", t, xt)


def to_x0_and_eps(process: DiffusionProcess, value: Tensor, xt: Tensor, t: Time, source: str) -> tuple[Tensor, Tensor]:
    """(x_0, ε) from one quantity and x_t, each by its best-conditioned formula."""
    a, s = process.at("signal", t, xt), process.at("noise", t, xt)
    if source == "v":
        return a * xt - s * value, a * value + s * xt
    if source in ("eps", "score"):
        eps = value if source == "eps" else -s * value
        return (xt - s * eps) / a, eps
    if source == "mu":
        x0 = (value - process.at("posterior_mean_xt", t, xt) * xt) / process.at("posterior_mean_x0", t, xt)
    elif source == "x0":
        x0 = value
    else:
        raise UserError(f"unknown quantity {source!r}; choose one of {', '.join(QUANTITIES)}")
    return x0, eps_from_x0(process, x0, xt, t)


def eps_from_x0(process: DiffusionProcess, x0: Tensor, xt: Tensor, t: Time) -> Tensor:
    """ε = (x_t − √ᾱ_t x_0)/√(1 − ᾱ_t)."""
    return (xt - process.at("signal", t, xt) * x0) / process.at("noise", t, xt)


def velocity(process: DiffusionProcess, x0: Tensor, noise: Tensor, t: Time) -> Tensor:
    """v = √ᾱ_t ε − √(1 − ᾱ_t) x_0 (`get_velocity` of diffusers)."""
    return process.at("signal", t, x0) * noise - process.at("noise", t, x0) * x0


def from_network(
    process: DiffusionProcess, output: Tensor, xt: Tensor, t: Time, prediction: str
) -> tuple[Tensor, Tensor]:
    """(x_0, ε) from a network's output at step t of a process that may be a respacing of the one it was trained on.

    ε, x_0 and v depend on ᾱ_t alone, which respacing keeps. μ is the mean of the step the network was trained on, so it
    is read with that process's coefficients.
    """
    if prediction not in PREDICTIONS:
        raise UserError(f"unknown prediction {prediction!r}; choose one of {', '.join(PREDICTIONS)}")
    if prediction == "mu" and process.timestep_map.is_floating_point():
        raise UserError("a network that predicts mu cannot be asked between the steps it was trained on")
    if prediction == "mu" and process.trained is not None:
        step = int(process.timestep_map[t]) if isinstance(t, int) else process.model_time(t, xt)
        return to_x0_and_eps(process.trained, output, xt, step, "mu")
    return to_x0_and_eps(process, output, xt, t, prediction)
