# `make repro` rebuilds every result of the active study, `make test` runs the tests; both install what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# A study is dozens of processes: without Python's compiled files each would compile torch and MLflow anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: repro clone test lint ablations smoke gpu ui clean install lock help

help:
	@echo "make repro      rebuild the active study (params.yaml): data, training, sampling, evaluation, report"
	@echo "make ablations  run the study's ablations and write them into the report"
	@echo "make smoke      make the report anew that CI verifies, after a change of code; commit it"
	@echo "make gpu        a study (STUDY=cifar10-jpeg) in pieces of MINUTES=25, AT_ONCE=2 jobs at a time,"
	@echo "                with what its experiments train, without DVC, Snakemake and MLflow"
	@echo "make ui         open the MLflow page of all runs (http://127.0.0.1:5000, switched to Model training)"
	@echo "make test       run the tests;  make lint: style, types and what may import what"
	@echo "make clean      remove what runs made (data, runs, state, MLflow), not the committed reports"

# DVC watches what is the same on every machine; report.html and times are not.
repro: clone $(INSTALLED)
	dvc repro
	rediffuse build report

ablations: clone $(INSTALLED)
	snakemake --cores all ablations
	dvc repro
	rediffuse build report

# Its keys tell by which code it was made: `rediffuse verify smoke` says when it is out of date.
smoke: clone $(INSTALLED)
	rediffuse make --study studies/smoke.yaml --ablations
	git add --all reports/smoke

# With the Python that has torch for the machine's GPU; the environment of `make install` where there is one.
STUDY ?= cifar10-jpeg
MINUTES ?= 25
AT_ONCE ?= 2
gpu:
	PYTHONPATH=src$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m rediffuse make --study studies/$(STUDY).yaml --ablations --at-once $(AT_ONCE) --minutes $(MINUTES)

# DVC works in a git repository only, which an archive of this one is not.
clone:
	@git rev-parse --git-dir > /dev/null 2>&1 || { echo "make: here is no clone of the repository, which DVC needs; use git clone, or git init in the project's folder"; exit 2; }

# In memory where that has room: the tests make and delete very many files, each of which waits for a disk.
test: $(INSTALLED)
	@if [ -z "$$TMPDIR" ] && [ -w /dev/shm ] && ! grep -q ' /dev/shm .*noexec' /proc/mounts && \
		[ "$$(df -Pk /dev/shm | awk 'END {print $$4}')" -gt 8000000 ]; then \
		export TMPDIR=/dev/shm; \
	fi; \
	pytest

lint: $(INSTALLED)
	ruff check .
	ruff format --check .
	mypy
	lint-imports

ui: $(INSTALLED)
	mlflow ui --backend-store-uri $${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db} --port 5000

clean:
	rm -rf plan runs state mlartifacts mlruns mlflow.db .snakemake
	find data -mindepth 1 -maxdepth 1 -type d -exec rm -rf {} +

install: $(INSTALLED)

$(INSTALLED): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed; set PYTHON=python3.11"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

# Exact versions for everyone, without hashes or addresses.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra test --extra lint --extra cluster --extra team --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock
