# Everything starts from python3 (3.11 or newer), make and pip. Each target makes the environment it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# CI pins every version; a developer's machine takes what pip finds in the ranges of pyproject.toml.
CONSTRAINTS ?= $(if $(CI),constraints/ci.txt)
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))
# A process for each core; tests of one file share their servers.
PYTEST_ARGS ?= -n auto --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo serve test check format bench protos clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | awk -F '\t' '{printf "  make %-9s %s\n", $$1, $$2}'

# One stamp per set of extras: an environment is made once and again when pyproject.toml changes.
$(VENV)/.stamp-python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "nablad needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.stamp-%: pyproject.toml $(wildcard constraints/*.txt) | $(VENV)/.stamp-python
	$(PIP_INSTALL) -e '.[$*]'
	@touch $@

demo: $(VENV)/.stamp-server,plot  ## gradient descent and Newton race, live, through a real server
	$(BIN)/nablad demo $(DEMO_ARGS)

serve: $(VENV)/.stamp-server  ## a server on localhost:50051
	$(BIN)/nablad serve

test: $(VENV)/.stamp-test  ## all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(VENV)/.stamp-dev  ## ruff, mypy --strict, import boundaries, buf lint, stubs up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_boundaries.py
	$(BIN)/buf lint
	$(BIN)/python protos/stubs.py --check

format: $(VENV)/.stamp-dev  ## format and sort imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.stamp-bench  ## the benchmark tables, peers interleaved
	$(BIN)/python -m benchmarks

# The stubs are made by a pinned old generator in an environment of its own, so that they load on protobuf 5.29 and newer.
.venv-protos/.stamp: protos/requirements.txt
	$(PYTHON) -m venv .venv-protos
	.venv-protos/bin/python -m pip install --quiet --disable-pip-version-check -r protos/requirements.txt
	@touch $@

protos: .venv-protos/.stamp  ## the Python stubs of protos/nablad/v1, again
	.venv-protos/bin/python protos/stubs.py

clean:  ## remove the environments and caches
	rm -rf .venv .venv-protos .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
