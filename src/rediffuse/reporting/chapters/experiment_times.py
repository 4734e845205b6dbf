"""What the trainings of experiments took, on whatever machines they ran."""

from typing import Any

from rediffuse.reporting.experiments.cells import recorded
from rediffuse.reporting.experiments.material import Material
from rediffuse.reporting.read.timings import Timings, computed_on
from rediffuse.reporting.render.blocks import Chapter, chapter_of
from rediffuse.reporting.render.table import Rows, Table, headers
from rediffuse.reporting.values import NOT_RECORDED, short


def timings(material: Material, clock: Timings) -> Chapter | None:
    """What the trainings of experiments cost where they ran."""
    rows = Rows()
    for entry in clock.ablations:
        machine = entry.get("machine") or {}
        who = [_by_what(machine), *(str(machine.get(name) or NOT_RECORDED) for name in ("threads", "torch"))]
        times = [recorded(entry.get(f"{name}_ms_per_step")) for name in ("train", "sample")]
        date, commit = (entry.get(name) or NOT_RECORDED for name in ("date", "commit"))
        trained = recorded(entry.get("train_seconds"))
        rows.add(entry["ablation"], entry["seed"], trained, *times, *who, date, short(commit))
    by_what = "Processor" if material.loaded.study.hardware.device == "cpu" else "GPU"
    columns = headers(
        "Trained for an experiment | Seed | Training time (s) | Training step (ms) | Sampling step of a batch (ms) | "
        f"{by_what} | Threads | PyTorch | Date | Commit"
    )
    notes = (
        f"As kept in {clock.ablations_file}: of the machines they ran on. Sampling: the median over the settings.",
    )
    what = "What the trainings of experiments cost, each on the machine that it names."
    return chapter_of(
        "experiments-times",
        "Experiments on their machines",
        Table("ablations-cost", what, columns, rows, notes) if rows else None,
    )


def _by_what(machine: dict[str, Any]) -> str:
    """What a network ran on, with the number of jobs that shared it."""
    name, shared = computed_on(machine) or NOT_RECORDED, machine.get("at_once") or 1
    return f"{name}, up to {shared} jobs at a time" if shared > 1 else name
