"""MLflow as a live view of what lies in runs/ and reports/.

A job's MLflow run carries the job's key as a tag. Logging therefore asks first what is there: training writes while it
works, `rediffuse track` fills in whatever is missing, and neither ever logs the same thing twice.
"""

from rediffuse.tracking.jobs import (
    LiveTraining,
    log_evaluation,
    log_likelihood,
    log_report,
    track_evaluation,
    track_likelihood,
    track_training,
)
from rediffuse.tracking.tracker import Tracker, open_tracker, tracking_uri

__all__ = [
    "LiveTraining",
    "Tracker",
    "log_evaluation",
    "log_likelihood",
    "log_report",
    "open_tracker",
    "track_evaluation",
    "track_likelihood",
    "track_training",
    "tracking_uri",
]
