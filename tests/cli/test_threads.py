"""A verb computes with the study's number of threads, whatever the caller's environment says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPENED = """
from pathlib import Path
from rediffuse.cli.base import open_study
open_study(Path("studies/smoke.yaml"))
import scipy.linalg, sklearn.linear_model, threadpoolctl
print({pool["num_threads"] for pool in threadpoolctl.threadpool_info()})
"""


@pytest.mark.parametrize("stated", [{}, {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}])
def test_linear_algebra_takes_the_threads_of_the_study(stated: dict[str, str]):
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    found = subprocess.run(
        [sys.executable, "-c", OPENED], cwd=ROOT, env=kept | stated, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "{1}"
