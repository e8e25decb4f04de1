# Needs make and Python 3.11 or newer; everything else goes into .venv.
.DEFAULT_GOAL := help
.PHONY: help setup demo ui screenshots bench test test-fast soak matrix release-check lint clean

BIN := .venv/bin
STAMP := .venv/.installed
BENCH_STAMP := .venv/.installed-bench
SCREENSHOTS_STAMP := .venv/.installed-screenshots
# Files stay whole, because their tests share servers; they come in the order that tests/conftest.py gives them.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Where it is set, each process that a test starts compiles all of the package anew.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1	/' | expand -t 18

setup: $(STAMP) ## Make the virtual environment, with the versions of constraints.txt

$(STAMP): pyproject.toml constraints.txt tools/setup
	@tools/setup .venv
	@touch $@

demo: $(STAMP) ## Run the example DAGs with real Airflow, S3 and GCS servers and a local Custobar
	@$(BIN)/python -m tools.demo

ui: $(STAMP) ## Open Airflow's UI with the same servers, connections and DAGs, until Ctrl-C
	@$(BIN)/python -m tools.ui

screenshots: $(SCREENSHOTS_STAMP) ## Take the pictures in docs/ anew, of what make ui shows; needs Debian's chromium
	@$(BIN)/python -m tools.screenshots

$(SCREENSHOTS_STAMP): $(STAMP)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt 'playwright~=1.60'
	@touch $@

bench: $(BENCH_STAMP) ## Measure exports beside a raw copy and other tools: an hour, or a part of it, see ARGS=--help
	@$(BIN)/python -m tools.bench $(ARGS)

# dlt's dependencies exclude those of Airflow's Amazon provider, so it has an environment of its own.
$(BENCH_STAMP): $(STAMP) tools/bench/dlt-requirements.txt
	@echo "bench: what it needs beside (a minute, once)"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev,bench]'
	@$(BIN)/python -m venv --clear .venv/dlt
	@.venv/dlt/bin/python -m pip install --disable-pip-version-check --quiet --requirement tools/bench/dlt-requirements.txt
	@touch $@

test: lint ## Check style, types and layers, and run all tests
	$(PYTEST)

test-fast: $(STAMP) ## Run the quick tests, which start no process: what one runs while writing, one to three minutes
	$(PYTEST) -m 'not processes and not slow and not soak'

soak: $(STAMP) ## Run what can go on for ever with large numbers: kill campaigns, years of exports, random examples; hours
	SOAK=1 $(PYTEST) -m 'soak or hypothesis'

matrix: $(STAMP) ## Run tests on each Airflow and Python that is claimed, and write docs/compatibility.md: an hour, or see ARGS=--help
	@$(BIN)/python -m tools.matrix $(ARGS)

release-check: $(STAMP) ## Build a release into dist, and try it as its users would
	@$(BIN)/python -m tools.release_check

lint: $(STAMP) ## Check style, types and layers only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

clean: ## Remove the virtual environment and all caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
