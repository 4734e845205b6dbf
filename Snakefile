# Executes the jobs of the active study (params.yaml). `snakemake --cores 2` builds the report and all it needs;
# `snakemake --cores 8 ablations` runs the ablations; any file can be asked for by its name, any stage by its own
# (`train`, or `trained`), and `measured` is all that the report reads. `snakemake --report study.html` shows what was made.
# The rules are made from the declarations in src/rediffuse/stages.

from snakemake.utils import min_version

min_version("9.0")

report: "workflow/report/workflow.rst"

include: "workflow/rules/common.smk"


rule all:
    input:
        receipts_of("report"),
    localrule: True


include: "workflow/rules/jobs.smk"
include: "workflow/rules/targets.smk"
