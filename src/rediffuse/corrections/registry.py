"""What can be run of the documents' mistakes, each beside the right sampler: it differs in that place alone."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from rediffuse.config import ResolvedRun
from rediffuse.registry import Registry, Way
from rediffuse.runs import facts

#: (key of `diffusion`, the values it may have).
Need = tuple[str, tuple[str, ...]]
FIXED: Need = ("variance", ("fixed-large", "fixed-small"))
LEARNED: Need = ("variance", ("learned-range",))
LINEAR: Need = ("schedule", ("linear",))
COSINE: Need = ("schedule", ("cosine",))


@dataclass(frozen=True)
class Variant:
    """A mistaken sampler, (denoiser of all T steps, steps, noise) -> x0.

    right: the sampler of `RIGHT` it is held against. needs: what a run's `diffusion` must be.
    many: whether the mistake needs many steps to show. title: what is wrong, in a few words. right_title: what is not.
    """

    name: str
    code: str
    right: str
    needs: tuple[Need, ...]
    many: bool = False
    _: KW_ONLY
    title: str
    right_title: str


RIGHT = Registry(
    "right sampler",
    Way("beta", "rediffuse.corrections.right:beta"),
    Way("beta-tilde", "rediffuse.corrections.right:beta_tilde"),
    Way("ddim", "rediffuse.corrections.right:eta_zero"),
    Way("eta-half", "rediffuse.corrections.right:eta_half"),
    Way("as-trained", "rediffuse.corrections.right:as_trained"),
)
WRONG = Registry(
    "wrong sampler",
    Variant(
        "alpha-bar-prev",
        "rediffuse.corrections.wrong:alpha_bar_prev",
        "beta-tilde",
        (FIXED,),
        title="ᾱ of the step before overwritten, not shifted",
        right_title="σ² = β̃",
    ),
    Variant(
        "sigma-is-beta",
        "rediffuse.corrections.wrong:sigma_is_beta",
        "beta",
        (FIXED,),
        True,
        title="σ = β",
        right_title="σ² = β",
    ),
    Variant(
        "noise-subtracted",
        "rediffuse.corrections.wrong:noise_subtracted",
        "beta-tilde",
        (FIXED,),
        title="noise subtracted, nothing else",
        right_title="whole ancestral step",
    ),
    Variant(
        "noise-off",
        "rediffuse.corrections.wrong:noise_off",
        "ddim",
        (FIXED,),
        title="ancestral step with its noise off",
        right_title="DDIM, η = 0",
    ),
    Variant(
        "eta-not-squared",
        "rediffuse.corrections.wrong:eta_not_squared",
        "eta-half",
        (FIXED,),
        title="variance times η (η = 0.5)",
        right_title="variance times η² (η = 0.5)",
    ),
    Variant(
        "full-direction",
        "rediffuse.corrections.wrong:full_direction",
        "eta-half",
        (FIXED,),
        title="noise on top of DDIM's full direction (η = 0.5)",
        right_title="direction made shorter by the noise (η = 0.5)",
    ),
    Variant(
        "t-prev-above-0",
        "rediffuse.corrections.wrong:t_prev_above_0",
        "beta-tilde",
        (FIXED,),
        title="no noise in the step to t = 0",
        right_title="noise in all steps but the last",
    ),
    Variant(
        "stale-noise",
        "rediffuse.corrections.wrong:stale_noise",
        "ddim",
        (FIXED,),
        title="x̂₀ clamped, ε left as it was",
        right_title="ε from the clamped x̂₀",
    ),
    Variant(
        "wrapped-index",
        "rediffuse.corrections.wrong:wrapped_index",
        "beta-tilde",
        (FIXED,),
        title="ᾱ[t − 1] at t = 0 read from the table's end",
        right_title="ᾱ = 1 before the first step",
    ),
    Variant(
        "schedule-rebuilt",
        "rediffuse.corrections.wrong:schedule_rebuilt",
        "beta-tilde",
        (FIXED, LINEAR),
        title="schedule built anew with few steps",
        right_title="steps of the trained schedule, respaced",
    ),
    Variant(
        "schedule-cut",
        "rediffuse.corrections.wrong:schedule_cut",
        "beta-tilde",
        (FIXED,),
        title="only the first few steps of the schedule",
        right_title="steps of the trained schedule, respaced",
    ),
    Variant(
        "range-swapped",
        "rediffuse.corrections.wrong:range_swapped",
        "as-trained",
        (LEARNED,),
        title="learned range with swapped ends",
        right_title="learned range as trained",
    ),
    Variant(
        "lower-clip",
        "rediffuse.corrections.wrong:lower_clip",
        "as-trained",
        (LEARNED, COSINE),
        title="cosine betas clipped from below",
        right_title="cosine betas as trained",
    ),
)


def variants_of(run: ResolvedRun) -> Sequence[Variant]:
    """What can be tried on a run's network; nothing where the study does not ask for it."""
    if run.corrections is None or run.role not in ("baseline", "improved") or facts.is_flow(run):
        return ()
    diffusion = facts.diffusion(run)
    return [one for one in WRONG.values() if all(getattr(diffusion, key) in values for key, values in one.needs)]


#: What works out a number that a document prints wrongly.
NUMBERS = Registry(
    "number",
    Way("resolution", "rediffuse.corrections.numbers:resolution"),
    Way("gan", "rediffuse.corrections.numbers:gan"),
    Way("epochs", "rediffuse.corrections.numbers:epochs"),
    Way("parameters", "rediffuse.corrections.numbers:parameters"),
    Way("evaluation", "rediffuse.corrections.numbers:evaluation"),
    Way("activations", "rediffuse.corrections.numbers:activations"),
    Way("gpu", "rediffuse.corrections.numbers:gpu"),
    Way("tanh", "rediffuse.corrections.numbers:tanh"),
    Way("state", "rediffuse.corrections.numbers:state"),
    Way("sampling-memory", "rediffuse.corrections.numbers:sampling_memory"),
    Way("rank", "rediffuse.corrections.numbers:rank"),
    Way("trend", "rediffuse.corrections.numbers:trend"),
    Way("fall", "rediffuse.corrections.numbers:fall"),
    Way("importance", "rediffuse.corrections.numbers:importance"),
    Way("quadratic", "rediffuse.corrections.numbers:quadratic"),
    Way("clip", "rediffuse.corrections.numbers:clip"),
    Way("ends", "rediffuse.corrections.numbers:ends"),
    Way("energy", "rediffuse.corrections.numbers:energy"),
    Way("sizes", "rediffuse.corrections.numbers:sizes"),
    Way("per-step", "rediffuse.corrections.numbers:per_step"),
    Way("rate", "rediffuse.corrections.numbers:rate"),
)
