"""Training: `train` and its options."""

from rediffuse.lazy import passes_on

__all__ = passes_on(
    __name__,
    "denoising:Denoising",
    "diverged:TrainingDiverged",
    "loop:Learner",
    "loop:TrainingResult",
    "loop:train",
    "options:TrainingConfig",
)
