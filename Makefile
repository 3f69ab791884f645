# The commands of the project. `make` alone lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
JOBS ?= auto
PRESET ?= quick
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help venv demo test check check-report lint format bench docs docs-figures clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22
	@echo
	@echo "  PYTHON=/path/to/python picks the interpreter (3.11 or newer), JOBS=2 the number of test processes."

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no python3 found: install Python 3.11 or newer, or say PYTHON=/path/to/python"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11: say PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) has no venv module: on Debian, install the package python3-venv"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# One stamp for each set of packages; both go stale when pyproject.toml changes.
$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[run]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[run,test,dev]'
	@touch $(VENV)/.run $@

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[docs]'
	@touch $@

$(VENV)/.figures: pyproject.toml | $(BIN)/python
	$(PIP) install -e '.[figures]'
	@touch $(VENV)/.run $@

venv: $(VENV)/.dev ## create .venv with everything that tests and lint need

demo: $(VENV)/.run ## install, run a saddle escape and a short pursuit, leave run folders with figures
	$(BIN)/python experiments/saddle_escape.py --preset quick
	$(BIN)/python experiments/neuron_pursuit.py --preset quick

test: $(VENV)/.dev ## install and run the tests and the examples in the docstrings
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --doctest-modules nsjax tests

# Sweeps compute longer than they compile: without the flags of tests/conftest.py for quick compilation.
check: $(VENV)/.dev ## the slow tests and every theory check
	XLA_FLAGS="$(XLA_FLAGS)" $(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow tests
	$(BIN)/python -m theory_checks all

check-report: $(VENV)/.run ## open the report of a small run in headless Chromium and measure the page
	$(BIN)/python tests/runs/check_report.py

lint: $(VENV)/.dev ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev ## put the code into the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# PyTorch, a reference of some, is large: rows that want it say so unless `nsjax[bench]` is installed.
bench: $(VENV)/.run ## all benchmarks beside plain references, one table (PRESET=full for larger ones)
	$(BIN)/python -m benchmarks all --preset $(PRESET)

docs: $(VENV)/.docs ## build the documentation into site/, warnings are errors; no network but for pip
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html"

docs-figures: $(VENV)/.figures ## run the pages of ideas and the notebooks, which draws their figures; write the gallery
	MPLBACKEND=Agg $(BIN)/python -m docsite figures
	$(BIN)/python -m docsite notebooks
	$(BIN)/python -m docsite gallery

clean: ## remove the environment and the caches, keep runs/
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
