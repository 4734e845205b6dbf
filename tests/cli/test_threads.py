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
# Linear algebra reads its threads when it is imported, so a verb must not have imported it when it opens its study.
ASKED = """
import sys
from rediffuse.cli import base, loose_images, pipeline

def opened(study):
    print(sorted({"numpy", "scipy", "torch"} & set(sys.modules)))
    raise SystemExit

pipeline.open_study = loose_images.open_study = opened
base.app(sys.argv[1:])
"""
MEASURED = ("nll", "probe", "restore", "trace", "corrections")
OF_ONE = ("train", "classifier", "sample", "evaluate", *MEASURED, "follow", "examine")
OTHERS = ("prepare", "reference", "real", "cost --record", "ablations", "report", "track", "train vae")
VERBS = [*(f"{stage} improved" for stage in OF_ONE), *OTHERS]


def printed(script: str, *arguments: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    command = [sys.executable, "-c", script, *arguments]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return found.stdout.strip()


def test_linear_algebra_takes_the_threads_of_the_study():
    assert printed(OPENED) == "{1}"


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_opens_its_study_before_it_imports_what_computes(verb: str):
    assert printed(ASKED, *verb.split()) == "[]"
