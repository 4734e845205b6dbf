# Executes every job of the active study (params.yaml). `snakemake --cores 2` builds the report and all it needs;
# `snakemake --cores 8 ablations` runs the ablations; `snakemake --report study.html` shows what was made.
# Targets, which DVC asks for too: `prepared`, `referenced`, `real_lines`, `costs`, `trained`, `classified`, `sampled`,
# `fitted`, `drawn`, `evaluated`, `examined`, `likelihoods`, `restored`, `measured` (all that the report reads),
# `report`.

from snakemake.utils import min_version

min_version("9.0")

report: "workflow/report/workflow.rst"

include: "workflow/rules/common.smk"


rule all:
    input:
        receipts_of("report"),


include: "workflow/rules/data.smk"
include: "workflow/rules/runs.smk"
include: "workflow/rules/report.smk"
