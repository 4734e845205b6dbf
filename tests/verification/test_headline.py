"""What of a report the headline is."""

from pathlib import Path

from rediffuse.config import load_study
from rediffuse.verification.headline import headline_of
from rediffuse.verification.judge import METRICS, PEDIGREE

ROOT = Path(__file__).resolve().parents[2]


def test_of_a_report_the_headline_is_what_both_runs_have_and_what_they_were_trained_by():
    report = {name: (ROOT / "reports/smoke" / name).read_bytes() for name in (METRICS, PEDIGREE)}
    found = headline_of(report, load_study(ROOT / "studies/smoke.yaml"))
    commands = [row.partition(",")[0] for row in found[PEDIGREE].decode().splitlines()]
    # Of its many rows, one for each file, those of the jobs that both need.
    of_runs = [
        f"{stage} {run} --seed 0" for stage in ("evaluate", "sample", "train") for run in ("baseline", "improved")
    ]
    assert commands[1:] == [f"rediffuse {job}" for job in sorted([*of_runs, "prepare", "reference"])]
    assert b'"classifier-1' not in found[METRICS]  # a sampler of one run alone
    assert b'"ddim-5"' in found[METRICS]
