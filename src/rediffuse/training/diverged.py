"""The end of a training whose numbers are no longer numbers."""

from rediffuse.errors import UserError


class TrainingDiverged(UserError):
    """The loss or the gradient is no longer finite; the last good checkpoint is kept."""
