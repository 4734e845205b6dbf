"""Training: `train` and its options."""

from rediffuse.training.loop import TrainingDiverged, TrainingResult, train
from rediffuse.training.options import TrainingConfig

__all__ = ["TrainingConfig", "TrainingDiverged", "TrainingResult", "train"]
