# The data set, its reference statistics, the lines that results are read against, and what the networks cost.


rule prepare:
    input:
        key=key_of("prepare"),
    output:
        receipt=update(f"{DATA}/receipt.json"),
    log:
        f"{LOG}/prepare.log",
    benchmark:
        f"{BENCHMARK}/prepare.tsv"
    threads: 1
    params:
        rediffuse=REDIFFUSE,
    message:
        "Preparing the data set"
    shell:
        "{params.rediffuse} prepare 2>&1 | tee {log}"


rule reference:
    input:
        key=key_of("reference"),
        data=rules.prepare.output.receipt,
    output:
        receipt=update(str(PLAN.find("reference").receipt)),
    log:
        f"{LOG}/reference.log",
    benchmark:
        f"{BENCHMARK}/reference.tsv"
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
    message:
        "Computing reference statistics"
    shell:
        "{params.rediffuse} reference 2>&1 | tee {log}"


rule real:
    input:
        key=key_of("real"),
        reference=rules.reference.output.receipt,
    output:
        receipt=update(str(PLAN.find("real").receipt)),
    log:
        f"{LOG}/real.log",
    benchmark:
        f"{BENCHMARK}/real.tsv"
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
    message:
        "Scoring held-out real images and noise"
    shell:
        "{params.rediffuse} real 2>&1 | tee {log}"


rule cost:
    input:
        key=key_of("cost"),
        data=rules.prepare.output.receipt,
    output:
        receipt=update(str(PLAN.find("cost").receipt)),
    log:
        f"{LOG}/cost.log",
    benchmark:
        f"{BENCHMARK}/cost.tsv"
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
    message:
        "Measuring what the networks cost"
    shell:
        "{params.rediffuse} cost --record 2>&1 | tee {log}"
