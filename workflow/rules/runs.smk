# Training, sampling and evaluation of one run with one seed. Resume state lies in state/, outside every output.


rule train:
    input:
        key=key_of("train"),
        data=rules.prepare.output.receipt,
        # Samples are scored while a run trains, for the eye: that wants the reference there, not of any date.
        reference=ancient(reference_of_training),
    output:
        receipt=update(f"{RUN}/receipts/train.json"),
        weights=update(f"{RUN}/weights.safetensors"),
        history=report(
            update(f"{RUN}/history.csv"),
            caption="../report/history.rst",
            category="Training",
            labels={"run": "{run}", "seed": "{seed}", "what": "loss by step"},
        ),
    wildcard_constraints:
        run=RUNS,
    log:
        f"{LOG}/train/{{run}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARK}/train/{{run}}-seed{{seed}}.tsv"
    # Training, then sampling, is what all else waits for: start them first, and no core ends up alone with one of them.
    priority: 2
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
        run=run_of,
    message:
        "Training {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.rediffuse} train {params.run} --seed {wildcards.seed} 2>&1 | tee {log}"


rule classifier:
    input:
        key=key_of("classifier"),
        data=rules.prepare.output.receipt,
    output:
        receipt=update(f"{RUN}/receipts/classifier.json"),
    log:
        f"{LOG}/classifier/{{run}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARK}/classifier/{{run}}-seed{{seed}}.tsv"
    priority: 2
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
        run=run_of,
    message:
        "Training the classifier of {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.rediffuse} classifier {params.run} --seed {wildcards.seed} 2>&1 | tee {log}"


rule sample:
    input:
        key=key_of("sample"),
        train=rules.train.output.receipt,
        classifier=classifier_of,
    output:
        receipt=update(f"{RUN}/receipts/sample.json"),
    wildcard_constraints:
        run=RUNS,
    log:
        f"{LOG}/sample/{{run}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARK}/sample/{{run}}-seed{{seed}}.tsv"
    priority: 1
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
        run=run_of,
    message:
        "Sampling {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.rediffuse} sample {params.run} --seed {wildcards.seed} 2>&1 | tee {log}"


rule evaluate:
    input:
        key=key_of("evaluate"),
        samples=samples_of,
        reference=rules.reference.output.receipt,
    output:
        receipt=update(f"{RUN}/receipts/evaluate.json"),
    log:
        f"{LOG}/evaluate/{{run}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARK}/evaluate/{{run}}-seed{{seed}}.tsv"
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
        run=run_of,
    message:
        "Evaluating {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.rediffuse} evaluate {params.run} --seed {wildcards.seed} 2>&1 | tee {log}"


rule nll:
    input:
        key=key_of("nll"),
        train=rules.train.output.receipt,
    output:
        receipt=update(f"{RUN}/receipts/nll.json"),
    wildcard_constraints:
        run=RUNS,
    log:
        f"{LOG}/nll/{{run}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARK}/nll/{{run}}-seed{{seed}}.tsv"
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
        run=run_of,
    message:
        "Likelihood of {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.rediffuse} nll {params.run} --seed {wildcards.seed} 2>&1 | tee {log}"


rule restore:
    input:
        key=key_of("restore"),
        train=rules.train.output.receipt,
    output:
        receipt=update(f"{RUN}/receipts/restore.json"),
    wildcard_constraints:
        run=RUNS,
    log:
        f"{LOG}/restore/{{run}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARK}/restore/{{run}}-seed{{seed}}.tsv"
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
        run=run_of,
    message:
        "Restoring images with {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.rediffuse} restore {params.run} --seed {wildcards.seed} 2>&1 | tee {log}"


rule examine:
    input:
        key=key_of("examine"),
        samples=samples_of,
        reference=rules.reference.output.receipt,
    output:
        receipt=update(f"{RUN}/receipts/examine.json"),
    log:
        f"{LOG}/examine/{{run}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARK}/examine/{{run}}-seed{{seed}}.tsv"
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
        run=run_of,
    message:
        "Examining the samples of {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.rediffuse} examine {params.run} --seed {wildcards.seed} 2>&1 | tee {log}"


rule fit:
    input:
        key=key_of("fit"),
        data=rules.prepare.output.receipt,
    output:
        receipt=update(f"{RUN}/receipts/fit.json"),
        weights=update(f"{RUN}/weights.safetensors"),
        history=report(
            update(f"{RUN}/history.csv"),
            caption="../report/history.rst",
            category="Training",
            labels={"run": "{run}", "seed": "{seed}", "what": "losses by step"},
        ),
    wildcard_constraints:
        run=GENERATORS,
    log:
        f"{LOG}/fit/{{run}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARK}/fit/{{run}}-seed{{seed}}.tsv"
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
        run=run_of,
    message:
        "Training {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.rediffuse} fit {params.run} --seed {wildcards.seed} 2>&1 | tee {log}"


rule draw:
    input:
        key=key_of("draw"),
        fit=rules.fit.output.receipt,
    output:
        receipt=update(f"{RUN}/receipts/draw.json"),
    wildcard_constraints:
        run=GENERATORS,
    log:
        f"{LOG}/draw/{{run}}-seed{{seed}}.log",
    benchmark:
        f"{BENCHMARK}/draw/{{run}}-seed{{seed}}.tsv"
    threads: HARDWARE.threads
    resources:
        gpu=int(HARDWARE.device == "cuda"),
    params:
        rediffuse=REDIFFUSE,
        run=run_of,
    message:
        "Drawing from {wildcards.run}, seed {wildcards.seed}"
    shell:
        "{params.rediffuse} draw {params.run} --seed {wildcards.seed} 2>&1 | tee {log}"
