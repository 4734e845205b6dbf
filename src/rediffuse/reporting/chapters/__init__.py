"""The topics of a report: each is a function of a module here that makes its chapter, and one line below.

A chapter is a function of the `Material` and says the same on every machine. What a machine took for it is another
function of the same module, of the `Material` and the `Timings`, and stands in the part of this machine. The chapters
of the study's experiments stand first under the question that each names.
"""

from rediffuse.config.experiment import CHAPTERS

#: The opening, before all questions.
OPENING = "in-short"
#: The chapters of each question, in the reader's order, by the question's key; as "module:function" in full, by which
#: the digest of the report's code follows them.
PARTS = {
    OPENING: ("rediffuse.reporting.chapters.summary:chapter",),
    "reproduce": (
        "rediffuse.reporting.chapters.claims:chapter",
        "rediffuse.reporting.chapters.samples:chapter",
        "rediffuse.reporting.chapters.likelihood:chapter",
        "rediffuse.reporting.chapters.one_pass:chapter",
    ),
    "improved": ("rediffuse.reporting.chapters.schedules:chapter", "rediffuse.reporting.chapters.schedules:weightings"),
    "speed": (
        "rediffuse.reporting.chapters.reverse_steps:chapter",
        "rediffuse.reporting.chapters.network_cost:chapter",
    ),
    "parts": (
        "rediffuse.reporting.chapters.sensitivity:chapter",
        "rediffuse.reporting.chapters.prediction_errors:chapter",
        "rediffuse.reporting.chapters.classifiers:chapter",
        "rediffuse.reporting.chapters.restoration:chapter",
        "rediffuse.reporting.chapters.during_training:chapter",
    ),
    "trust": (
        *("rediffuse.reporting.chapters.damage:chapter", "rediffuse.reporting.chapters.same_noise:chapter"),
        *("rediffuse.reporting.chapters.loss_and_quality:chapter", "rediffuse.reporting.chapters.steadiness:chapter"),
        *(
            "rediffuse.reporting.chapters.training:chapter",
            "rediffuse.reporting.chapters.curves:chapter",
            "rediffuse.reporting.chapters.fidelity:chapter",
            "rediffuse.reporting.chapters.sample_count:chapter",
            "rediffuse.reporting.chapters.memorisation:chapter",
        ),
        *("rediffuse.reporting.chapters.classes:chapter", "rediffuse.reporting.chapters.colours:chapter"),
        "rediffuse.reporting.chapters.arithmetic:chapter",
    ),
    "documents": (
        "rediffuse.reporting.chapters.tried_mistakes:chapter",
        "rediffuse.reporting.chapters.corrections:chapter",
    ),
    "how": (
        "rediffuse.reporting.chapters.setup:chapter",
        "rediffuse.reporting.chapters.pedigree:repeat",
        "rediffuse.reporting.chapters.pedigree:settings",
        "rediffuse.reporting.chapters.quality:chapter",
        "rediffuse.reporting.chapters.pedigree:chapter",
    ),
}
#: The chapters of this machine.
TIMINGS = (
    *(
        "rediffuse.reporting.chapters.training:timings",
        "rediffuse.reporting.chapters.quality:timings",
        "rediffuse.reporting.chapters.network_times:timings",
        "rediffuse.reporting.chapters.network_savings:timings",
        "rediffuse.reporting.chapters.one_pass:timings",
    ),
    *(
        "rediffuse.reporting.chapters.during_training:timings",
        "rediffuse.reporting.chapters.experiment_times:timings",
        "rediffuse.reporting.chapters.setup:timings",
        "rediffuse.reporting.chapters.pedigree:timings",
    ),
)
HEADINGS = {OPENING: "In short", **CHAPTERS, "how": "How was it done?"}
