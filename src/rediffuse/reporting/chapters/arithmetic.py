"""Whether the formulas agree with one another, in which precision,
and with what others published (document D2, chapter 6).
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.terms import diffusion_runs
from rediffuse.reporting.values import listed, number
from rediffuse.runs import facts

if TYPE_CHECKING:
    import torch

    from rediffuse.diffusion.process import DiffusionProcess

#: What is compared with public implementations, by which test: (what, with what, test).
HELD = (
    (
        "Schedules, posterior, reverse step, losses and bound",
        "formulas of Ho et al.'s and IDDPM's code",
        "tests/diffusion/test_against_published_formulas.py::test_tables_match",
    ),
    (
        "U-Net, from the same weights",
        "diffusers",
        "tests/models/test_against_diffusers.py::test_the_same_weights_give_the_same_output_as_diffusers",
    ),
    (
        "IDDPM's U-Net, from the same weights",
        "IDDPM's network",
        "tests/interop/test_iddpm_format.py::test_an_imported_network_computes_what_iddpm_computes",
    ),
    (
        "Ancestral sampling",
        "diffusers' DDPMScheduler",
        "tests/samplers/test_sampler_diffusers.py::test_ancestral_sampling_agrees_with_ddpm_scheduler",
    ),
    (
        "DDIM",
        "diffusers' DDIMScheduler, told to take ε from the clipped x̂₀",
        "tests/samplers/test_sampler_diffusers.py::"
        "test_ddim_agrees_with_ddim_scheduler_when_it_uses_the_clipped_output",
    ),
    (
        "DPM-Solver++",
        "diffusers' DPMSolverMultistepScheduler",
        "tests/samplers/test_sampler_diffusers.py::test_dpm_solver_agrees_with_dpm_solver_multistep_scheduler",
    ),
    (
        "PLMS",
        "diffusers' PNDMScheduler",
        "tests/samplers/test_sampler_diffusers.py::test_plms_agrees_with_pndm_scheduler",
    ),
    ("Fréchet distance", "torchmetrics", "tests/evaluation/test_torchmetrics.py::test_the_frechet_distance"),
)
#: Parameters as others publish them, by preset: (count, where).
PUBLISHED = {
    "base": (35_746_307, "diffusers' google/ddpm-cifar10-32, the network of Ho et al. 2020"),
    "iddpm-cifar10": (52_546_438, "IDDPM's CIFAR-10 network (Nichol & Dhariwal 2021)"),
}


def chain(process: "DiffusionProcess") -> float:
    """Steps of q(x_t | x_{t−1}) one after another beside q(x_t | x_0):
    the largest relative error of scale and variance.
    """
    scale, variance, worst = 1.0, 0.0, 0.0
    for beta, bar in zip(process.betas.tolist(), process.alphas_bar.tolist(), strict=True):
        scale, variance = scale * math.sqrt(1 - beta), (1 - beta) * variance + beta
        worst = max(worst, abs(scale / math.sqrt(bar) - 1), abs(variance / (1 - bar) - 1))
    return worst


def energy(process: "DiffusionProcess") -> float:
    """How far the variance of x_t strays from 1 where that of x_0 is 1."""
    variance, worst = 1.0, 0.0
    for beta in process.betas.tolist():
        variance = (1 - beta) * variance + beta
        worst = max(worst, abs(variance - 1))
    return worst


def bayes(process: "DiffusionProcess") -> float:
    """q(x_{t−1} | x_t, x_0) beside the product of q(x_t | x_{t−1}) and q(x_{t−1} | x_0), relative, over t ≥ 1."""
    beta, alpha, before = process.betas[1:], process.alphas[1:], process.alphas_bar_prev[1:]
    variance = 1 / (alpha / beta + 1 / (1 - before))
    pairs = (
        (process.posterior_variance, variance),
        (process.posterior_mean_xt, variance * alpha.sqrt() / beta),
        (process.posterior_mean_x0, variance * before.sqrt() / (1 - before)),
    )
    return max(float((table[1:] / other - 1).abs().max()) for table, other in pairs)


def ddim(process: "DiffusionProcess") -> float:
    """The direction term of DDIM at η = 1 beside the mean of ancestral sampling with β̃, relative, over t ≥ 1."""
    direction = (1 - process.alphas_bar_prev - process.posterior_variance)[1:].sqrt()
    return float((direction / (1 - process.alphas_bar[1:]).sqrt() / process.posterior_mean_xt[1:] - 1).abs().max())


def conversions(process: "DiffusionProcess") -> float:
    """ε turned into x₀, v, μ and back: the error beside ε's largest value, at the middle of the steps."""
    import torch

    from rediffuse.diffusion.predictions import convert
    from rediffuse.diffusion.randomness import counted_normal

    x0, eps = (counted_normal(seed, torch.arange(8), 0, (64,), dtype=torch.float64) for seed in (0, 1))
    t, found = process.num_timesteps // 2, eps
    xt = process.q_sample(x0, t, eps)
    for source, target in (("eps", "x0"), ("x0", "v"), ("v", "mu"), ("mu", "eps")):
        found = convert(process, found, xt, t, source, target)
    return float((found - eps).abs().max() / eps.abs().max())


def score(process: "DiffusionProcess") -> float:
    """∇ log p_t by differentiation beside −E[ε | x_t]/√(1 − ᾱ_t), for a mixture of two Gaussians; relative."""
    import torch

    from rediffuse.diffusion.analytic import GaussianMixture

    data = GaussianMixture(torch.tensor([[-1.0], [2.0]]), torch.tensor([[0.25], [0.5]]))
    t = process.num_timesteps // 2
    a, s = float(process.alphas_bar[t].sqrt()), float((1 - process.alphas_bar[t]).sqrt())
    x = torch.linspace(-3, 3, 13, dtype=torch.float64)[:, None].requires_grad_()
    (gradient,) = torch.autograd.grad(data.log_prob(x, a, s).sum(), x)
    eps = (x.detach() - a * data.posterior(x.detach(), a, s)[0]) / s
    return float((gradient + eps / s).abs().max() / gradient.abs().max())


IDENTITIES: tuple[tuple[str, Callable[["DiffusionProcess"], float]], ...] = (
    ("T steps of q(x_t | x_{t−1}), and q(x_t | x_0) at once", chain),
    ("variance of x_t, and that of x_0 where it is 1", energy),
    ("q(x_{t−1} | x_t, x_0) as a table, and by Bayes' rule", bayes),
    ("a step of DDIM with η = 1, and of ancestral sampling with β̃", ddim),
    ("ε, and ε turned into x₀, v, μ and back", conversions),
    ("∇ log p_t, and −E[ε | x_t]/√(1 − ᾱ_t) (two Gaussians, exact)", score),
)


def limit(error: float) -> str:
    """A power of ten that an error of rounding stays below, whatever the processor."""
    return "0" if error == 0 else f"below 1e{math.ceil(math.log10(3 * error)):+03d}"


def identities(processes: "dict[str, DiffusionProcess]") -> Table:
    """Two ways to one thing, and how far apart they are in float64."""
    rows = Rows()
    for what, apart in IDENTITIES:
        rows.add(what, *(limit(apart(process)) for process in processes.values()))
    columns = headers("Two ways to one thing", [f"Apart, {name} schedule" for name in processes])
    caption = "Formulas that must agree, in float64: the largest relative difference, over all t or at T/2."
    return Table("identities", caption, columns, rows)


def naive(betas: "torch.Tensor", dtype: "torch.dtype") -> list[float]:
    """√ᾱ at the last t, 1 − ᾱ at t = 0, β̃ at t = 1 and SNR at the last t, each operation in `dtype`."""
    import torch

    own, one = betas.to(dtype), torch.ones((), dtype=dtype)
    bars = []
    bar = one
    for beta in own:
        bar = bar * (one - beta)
        bars.append(bar)
    first = own[1] * (one - bars[0]) / (one - bars[1]) if len(own) > 1 and bars[1] < 1 else torch.full((), torch.nan)
    return [float(value) for value in (bars[-1].sqrt(), one - bars[0], first, bars[-1] / (one - bars[-1]))]


def precision(processes: "dict[str, DiffusionProcess]") -> tuple[Table, str]:
    """What float32 and bfloat16 make of the tables, and of x̂₀ from a rounded ε; and the worst in words."""
    import torch

    names = ("√ᾱ at t = T − 1", "1 − ᾱ at t = 0", "β̃ at t = 1", "SNR at t = T − 1")
    worst: dict[torch.dtype, float] = {}
    rows = Rows()
    for schedule, process in processes.items():
        exact = naive(process.betas, torch.float64)
        lower = {dtype: naive(process.betas, dtype) for dtype in (torch.float32, torch.bfloat16)}
        for place, (name, value) in enumerate(zip(names, exact, strict=True)):
            errors = {dtype: 100 * abs(found[place] / value - 1) for dtype, found in lower.items()}
            rows.add(schedule, name, value, *(number(e, 2) if math.isfinite(e) else "0/0" for e in errors.values()))
            for dtype, error in errors.items():
                worst[dtype] = max(worst.get(dtype, 0.0), error if math.isfinite(error) else 100.0)
    columns = headers("Schedule | Quantity | float64 | float32, off by (%) | bfloat16, off by (%)")
    caption = "Tables of the process, computed throughout in one precision. 0/0: nothing of them is left."
    coarse = torch.finfo(torch.bfloat16).eps / 2
    moved = [
        f"{number(coarse * float((1 / process.alphas_bar[-1] - 1).sqrt()), 2)} ({schedule} schedule)"
        for schedule, process in processes.items()
    ]
    text = (
        f"Where every operation is in float32 a table is off by up to {number(worst[torch.float32], 2)} %, in bfloat16 "
        f"by up to {number(worst[torch.bfloat16], 2)} %. So the tables of this project are float64, whatever the "
        "networks compute in, and are rounded at use. A network's ε of 1, rounded to bfloat16, moves x̂₀ at the last t "
        f"by up to {listed(moved)}, where pixels span 2: one reason why x̂₀ is clipped."
    )
    return Table("precision", caption, columns, rows), text


def agreement(material: Material) -> Table:
    """What others published, beside what is counted here; and what is compared with their code, by which test."""
    rows, presets = Rows(), (material.frames.cost or {}).get("presets", {})
    for name, (count, where) in PUBLISHED.items():
        if name in presets:
            same = presets[name]["parameters"] == count
            rows.add(
                f"Parameters: {presets[name]['parameters']:,}", where, f"{count:,}: {'the same' if same else 'other'}"
            )
    for what, other, test in HELD:
        rows.add(what, other, test)
    columns = headers("What | Beside what | Their figure, or the test that compares")
    return Table("agreement", "Agreement with public implementations.", columns, rows)


def chapter(material: Material) -> Chapter | None:
    """Formulas against one another, precision, and agreement with others."""
    from rediffuse.diffusion.process import DiffusionProcess

    runs = [run for run in diffusion_runs(material.loaded) if not facts.is_flow(run)]
    named = {facts.diffusion(run).schedule: facts.diffusion(run).timesteps for run in runs}
    processes = {name: DiffusionProcess.create(name, steps) for name, steps in named.items() if steps > 1}
    if not processes:
        return None
    table, text = precision(processes)
    title = "Does the arithmetic hold?"
    return chapter_of("arithmetic", title, identities(processes), text, table, agreement(material))
