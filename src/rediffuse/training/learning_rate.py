"""The learning rate as a function of the step."""

import math

from rediffuse.training.options import TrainingConfig


def learning_rate(step: int, config: TrainingConfig) -> float:
    """The learning rate of step 0, 1, ...: linear warm-up, then constant or half a cosine down to the minimum.

    Step k of the warm-up uses (k + 1) / warmup of the full rate, so that the first step already learns. The cosine
    runs from the end of the warm-up and reaches the minimum at the last step.
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    if config.decay == "constant":
        return config.learning_rate
    done = (step - config.warmup + 1) / max(config.steps - config.warmup, 1)
    span = config.learning_rate - config.min_learning_rate
    return config.min_learning_rate + span * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
