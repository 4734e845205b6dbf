"""The topics of a report: each is a function of a module here that makes its chapter, and one line below.

A chapter is a function of the `Material` and says the same on every machine. What a machine took for it is another
function of the same module, of the `Material` and the `Timings`, and stands in the part of this machine.
"""

#: The chapters in the reader's order, as "module:function".
CHAPTERS = (
    "rediffuse.reporting.chapters.summary:chapter",
    "rediffuse.reporting.chapters.setup:chapter",
    "rediffuse.reporting.chapters.comparison:chapter",
    "rediffuse.reporting.chapters.likelihood:chapter",
    "rediffuse.reporting.chapters.guidance:chapter",
    "rediffuse.reporting.chapters.training:chapter",
    "rediffuse.reporting.chapters.network_cost:chapter",
    "rediffuse.reporting.chapters.one_pass:chapter",
    "rediffuse.reporting.chapters.claims:chapter",
    "rediffuse.reporting.chapters.ablations:chapter",
    "rediffuse.reporting.chapters.curves:chapter",
    "rediffuse.reporting.chapters.during_training:chapter",
    "rediffuse.reporting.chapters.samples:chapter",
    "rediffuse.reporting.chapters.quality:chapter",
    "rediffuse.reporting.chapters.fidelity:chapter",
    "rediffuse.reporting.chapters.sample_count:chapter",
    "rediffuse.reporting.chapters.memorisation:chapter",
    "rediffuse.reporting.chapters.classes:chapter",
    "rediffuse.reporting.chapters.colours:chapter",
    "rediffuse.reporting.chapters.restoration:chapter",
    "rediffuse.reporting.chapters.schedules:chapter",
    "rediffuse.reporting.chapters.schedules:weightings",
    "rediffuse.reporting.chapters.pedigree:settings",
    "rediffuse.reporting.chapters.pedigree:repeat",
    "rediffuse.reporting.chapters.pedigree:chapter",
)
#: The chapters of this machine.
TIMINGS = (
    "rediffuse.reporting.chapters.training:timings",
    "rediffuse.reporting.chapters.quality:timings",
    "rediffuse.reporting.chapters.network_cost:timings",
    "rediffuse.reporting.chapters.one_pass:timings",
    "rediffuse.reporting.chapters.during_training:timings",
    "rediffuse.reporting.chapters.ablations:timings",
    "rediffuse.reporting.chapters.setup:timings",
    "rediffuse.reporting.chapters.pedigree:timings",
)
