"""The topics of a report: each is a function of a module here that makes its chapter, and one line below.

A chapter is a function of the `Material` and says the same on every machine. What a machine took for it is another
function of the same module, of the `Material` and the `Timings`, and stands in the part of this machine. The chapters
of the study's experiments stand first under the question that each names.
"""

from rediffuse.config.experiment import CHAPTERS

_HERE = "rediffuse.reporting.chapters."
#: The opening, before all questions.
OPENING = "in-short"
#: The chapters of each question as "module:function", in the reader's order, by the question's key.
PARTS = {
    OPENING: ("summary:chapter",),
    "reproduce": ("claims:chapter", "samples:chapter", "likelihood:chapter", "one_pass:chapter"),
    "improved": ("schedules:chapter", "schedules:weightings"),
    "speed": ("reverse_steps:chapter", "network_cost:chapter"),
    "parts": ("prediction_errors:chapter", "classifiers:chapter", "restoration:chapter", "during_training:chapter"),
    "trust": (
        *("damage:chapter", "same_noise:chapter"),
        *("loss_and_quality:chapter", "steadiness:chapter"),
        *("training:chapter", "curves:chapter", "fidelity:chapter", "sample_count:chapter", "memorisation:chapter"),
        *("classes:chapter", "colours:chapter"),
    ),
    "documents": ("tried_mistakes:chapter", "corrections:chapter"),
    "how": ("setup:chapter", "pedigree:repeat", "pedigree:settings", "quality:chapter", "pedigree:chapter"),
}
#: The chapters of this machine.
TIMINGS = (
    *("training:timings", "quality:timings", "network_times:timings", "network_savings:timings", "one_pass:timings"),
    *("during_training:timings", "experiments:timings", "setup:timings", "pedigree:timings"),
)
HEADINGS = {OPENING: "In short", **CHAPTERS, "how": "How was it done?"}


def reference(name: str) -> str:
    """The "module:function" of a line above, as `rediffuse.registry.load` takes it."""
    return _HERE + name
