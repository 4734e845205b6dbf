# One rule a job, with its real files: any of them can be asked for by name. Resume state lies in state/, outside them.

for job in PLAN.jobs.values():
    stage = job.declaration

    rule:
        name:
            stage.name if stage.scope == "study" else job.file.replace("-", "_")
        input:
            anew=needs_of(job, made_anew=True),
            there=ancient(needs_of(job, made_anew=False)),
        output:
            receipt=update(str(job.receipt)),
            files=[
                report(
                    update(str(path)),
                    caption=f"../report/{stage.shown[1]}",
                    category=stage.shown[2],
                    labels={"job": job.name},
                )
                if stage.shown and path.name == stage.shown[0]
                else update(str(path))
                for path in (*job.outputs, *job.loose)
                if path.suffix
            ],
        log:
            f"{STATE}/logs/{job.name}.log",
        benchmark:
            f"{STATE}/benchmarks/{job.name}.tsv"
        # What all else waits for starts first, and no core ends up alone with one of them.
        priority: stage.first
        threads: HARDWARE.threads * job.processes
        resources:
            **resources(job, CONTEXT.root, Path(f"{STATE}/benchmarks/{job.name}.tsv"), HARDWARE.device),
        params:
            command=command_of(job),
        message:
            f"{stage.doing}: {job.name}"
        shell:
            # The job itself ends in its own time when it is asked to: shell and log wait for it.
            "trap : TERM; {params.command} 2>&1 | (trap '' TERM; tee {log})"
