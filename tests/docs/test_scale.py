"""The page of scale says what the scripts have found; planning stays quick; the costs are those of the model."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from rediffuse.pipeline.context import Context

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_what_the_results_say():
    made = subprocess.run([sys.executable, ROOT / "docs/make_scale.py"], capture_output=True, text=True, check=True)
    assert made.stdout == (ROOT / "docs/scale.md").read_text()


def test_a_thousand_runs_are_planned_within_ten_seconds(tmp_path: Path):
    study = yaml.safe_load((ROOT / "studies/smoke.yaml").read_text())
    runs = {f"run{n}": {"training": {"learning_rate": 1e-3 + n * 1e-6}} for n in range(1, 1000)}
    study = {**study, "experiments": {}, "runs": {"baseline": {"role": "baseline"}, **runs}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    start = time.process_time()
    plan = Context.open(tmp_path / "study.yaml", tmp_path).plan
    assert time.process_time() - start < 10
    assert len(plan.of_stage("train")) == 1000
    assert len({job.key for job in plan.jobs.values()}) == len(plan.jobs)


def test_the_cost_of_a_training_follows_from_the_constants_beside_it():
    costs = json.loads((ROOT / "benchmarks/scale/results/costs.json").read_text())
    flops = costs["sizes"][0]["flops"]
    # Ho et al. 2020: 21 steps a second of 128 images, three forward passes' worth each, on four chips of 123 TFLOP/s.
    share = 21 * 128 * 3 * flops / (4 * 123e12)
    assert costs["ho"]["share in training"] == pytest.approx(share)
    # That share of an H100 makes 800,000 such steps in so many hours.
    hours = 800_000 * 128 * 3 * flops / (share * 989.4e12) / 3600
    assert costs["sizes"][0]["by"]["share of Ho et al."]["hours"]["training"] == pytest.approx(hours)
