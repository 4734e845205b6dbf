"""What a job's settings say is compared with what its receipt says, which was JSON in between."""

import json
from pathlib import Path

import pytest

from rediffuse.config import load_study
from rediffuse.pipeline.plan import make_plan

STUDIES = Path(__file__).resolve().parents[2] / "studies"


@pytest.mark.parametrize("study", ["smoke", "digits", "digits-full", "mnist"])
def test_settings_come_back_from_a_receipt_as_they_are(study: str):
    jobs = make_plan(load_study(STUDIES / f"{study}.yaml")).jobs.values()
    assert [job.name for job in jobs if json.loads(json.dumps(job.settings)) != job.settings] == []
