# Needs only Python 3.11, pip and venv. `make help` lists the commands.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 5000
EXPERIMENT ?= composability
BIN = .venv/bin
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION = false
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help setup demo published analyze test test-slow soak lint check docs ui clean
help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

.venv/.ready: requirements.lock pyproject.toml python_env.yaml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v >= (3, 11) else f"Python 3.11 or newer is needed, this is {v[0]}.{v[1]}: make PYTHON=path/to/python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: .venv/.ready  ## make .venv, initialise the store, register .venv with MLflow
	@$(BIN)/composability setup

demo: setup  ## the main job: one composition, one MLflow run
	. $(BIN)/activate && mlflow run . -P first=lora -P second=wanda

published: setup  ## the paper's 311 rows as runs, to explore and compare with
	$(BIN)/composability published

analyze: setup  ## tables, figures and a report: make analyze EXPERIMENT=published
	$(BIN)/composability analyze --experiment "$(EXPERIMENT)"

test: .venv/.ready  ## the tests, in under 15 minutes on two cores
	$(PYTEST)

test-slow: .venv/.ready  ## the tests that take long
	$(PYTEST) -m slow

soak: .venv/.ready  ## break it on purpose, for hours: make soak HARNESSES="damage races"
	$(BIN)/python -m tests.robustness $(HARNESSES)

lint: .venv/.ready  ## format, lint, types, import rules
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint  ## lint and the quick tests
	$(PYTEST) -m "not slow and not full"

build/docs/.ready: docs/requirements.txt
	$(PYTHON) -m venv build/docs
	build/docs/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	touch $@

docs: build/docs/.ready  ## the documentation as a site, build/site; warnings are errors
	build/docs/bin/zensical build --strict --clean

ui: setup  ## MLflow's UI, two light processes
	@$(BIN)/composability setup --ui $(PORT) --serve

clean:  ## remove the environment and the caches (with the journals of studies), never the runs
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
