# What people and DVC ask for: all jobs of a stage, by its name or by the word for "done"; everything measured.

for stage in stages().values():
    names = [stage.done] if stage.scope == "study" else [stage.name, stage.done]
    for target in names:

        rule:
            name:
                target
            input:
                receipts_of(stage.name),
            localrule: True


rule measured:
    input:
        [str(job.receipt) for job in PLAN.measured()],
    localrule: True


rule ablations:
    input:
        [str(job.receipt) for job in PLAN.jobs.values() if job.ablation],
    params:
        rediffuse=REDIFFUSE,
    message:
        "Gathering the ablations for the report"
    localrule: True
    shell:
        "{params.rediffuse} ablations"


def log_what_waits():
    """Log to MLflow the short jobs that left that for later: importing it once for all of them."""
    if any(Path(STATE, "unlogged").glob("*.json")):
        shell(f"{REDIFFUSE} track --waiting")


onsuccess:
    log_what_waits()


onerror:
    log_what_waits()
