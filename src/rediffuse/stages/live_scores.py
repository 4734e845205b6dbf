"""What samples drawn during training score, said at once: for the eye and for MLflow, never a result."""

import sys
from collections.abc import Callable

import numpy as np
from torch import Tensor

from rediffuse.errors import UserError
from rediffuse.stages.context import Context
from rediffuse.stages.scoring import Judge

Scores = dict[str, dict[str, float]]


def live_scores(context: Context) -> Callable[[dict[str, Tensor]], Scores]:
    """A function from samples to metrics by name, each by weights ("averaged", "raw"); to nothing, with a line that says
    why, where that fails, as it does without a reference or without weights of the feature network.
    """
    judge: Judge | None = None
    failed = False

    def scores(samples: dict[str, Tensor]) -> Scores:
        nonlocal judge, failed
        if failed:
            return {}
        try:
            judge = judge or Judge(context)  # at the first samples, so that its time is theirs
            found = {weights: judge.values(np.asarray(images)) for weights, images in samples.items()}
        except Exception as error:  # of memory, of a user's own network, of a file: none may stop a training
            failed = True
            reason = error if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            print(f"not scored during training: {str(reason).splitlines()[0]}", file=sys.stderr, flush=True)
            return {}
        of_each = ", ".join(f"{values['frechet_distance']:,.1f} ({weights})" for weights, values in found.items())
        count = len(next(iter(samples.values())))
        print(f"Fréchet distance of {count} samples: {of_each}", file=sys.stderr, flush=True)
        return found

    return scores
