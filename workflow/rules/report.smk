# The report, and the targets that people and DVC ask for.


rule report:
    input:
        key=key_of("report"),
        real=rules.real.output.receipt,
        cost=rules.cost.output.receipt,
        evaluated=receipts_of("evaluate"),
        likelihoods=receipts_of("nll"),
        restored=receipts_of("restore"),
        examined=receipts_of("examine"),
        classified=receipts_of("classifier"),
    output:
        receipt=update(str(PLAN.find("report").receipt)),
        page=report(
            update(f"reports/{STUDY}/report.html"),
            caption="../report/report.rst",
            category="Report",
            labels={"what": "the whole report"},
        ),
    log:
        f"{LOG}/report.log",
    benchmark:
        f"{BENCHMARK}/report.tsv"
    threads: 1
    params:
        rediffuse=REDIFFUSE,
    message:
        "Writing the report"
    shell:
        "{params.rediffuse} report 2>&1 | tee {log}"


rule ablations:
    input:
        receipts_of("evaluate", ablation=True),
    params:
        rediffuse=REDIFFUSE,
    message:
        "Gathering the ablations for the report"
    shell:
        "{params.rediffuse} ablations"


# What DVC and people ask for.


rule prepared:
    input:
        receipts_of("prepare"),


rule referenced:
    input:
        receipts_of("reference"),


rule real_lines:
    input:
        receipts_of("real"),


rule costs:
    input:
        receipts_of("cost"),


rule trained:
    input:
        receipts_of("train"),


rule classified:
    input:
        receipts_of("classifier"),


rule sampled:
    input:
        receipts_of("sample"),


rule fitted:
    input:
        receipts_of("fit"),


rule drawn:
    input:
        receipts_of("draw"),


rule evaluated:
    input:
        receipts_of("evaluate"),


rule likelihoods:
    input:
        receipts_of("nll"),


rule restored:
    input:
        receipts_of("restore"),


rule examined:
    input:
        receipts_of("examine"),


rule measured:
    input:
        receipts_of("evaluate"),
        receipts_of("examine"),
        receipts_of("nll"),
        receipts_of("restore"),
        receipts_of("classifier"),
        receipts_of("real"),
        receipts_of("cost"),


localrules:
    all,
    ablations,
    prepared,
    referenced,
    real_lines,
    costs,
    trained,
    classified,
    sampled,
    fitted,
    drawn,
    evaluated,
    likelihoods,
    restored,
    examined,
    measured,
