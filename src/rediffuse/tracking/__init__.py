"""MLflow as a live view of what lies in runs/ and reports/.

A job's MLflow run carries the job's key as a tag. Logging therefore asks first what is there: training writes while it
works, `rediffuse track` fills in whatever is missing, and neither ever logs the same thing twice.
"""

from rediffuse.tracking.jobs import (
    LiveTraining,
    log_classifier,
    log_evaluation,
    log_examination,
    log_likelihood,
    log_now,
    log_report,
    track_training,
    training_scores,
)
from rediffuse.tracking.tracker import Tracker, open_tracker, tracking_uri

__all__ = [
    "LiveTraining",
    "Tracker",
    "log_classifier",
    "log_evaluation",
    "log_examination",
    "log_likelihood",
    "log_now",
    "log_report",
    "open_tracker",
    "track_training",
    "tracking_uri",
    "training_scores",
]
