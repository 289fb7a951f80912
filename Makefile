# Everything runs from .venv; every target sets it up first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: install demo test lint bench clean lock
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

# Every package by its version and the digests of its files; our own is put beside them without asking for anything.
OWN := --quiet --no-deps --no-build-isolation --editable .
$(VENV)/.installed: pyproject.toml requirements.lock
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python $(PYTHON) $(VENV) && \
		uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes --requirement requirements.lock && \
		uv pip install --python $(BIN)/python $(OWN); \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock && \
		$(BIN)/python -m pip install $(OWN); \
	fi
	@touch $@

lock: ## write requirements.lock anew, from pyproject.toml and constraints.txt (needs uv)
	@printf 'setuptools>=77\n' | uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--no-annotate --extra dev --constraint constraints.txt --output-file requirements.lock pyproject.toml -

install: $(VENV)/.installed ## make .venv with everything pinned

demo: install ## simulate a company and run the whole job on it, into demo/
	$(BIN)/leadrev demo --out demo

test: install ## the whole test suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: install ## style, docstrings, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install ## speed and accuracy beside peers, in one run
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip --upgrade >/dev/null
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,bench]"
	$(BIN)/python -m tests.bench

clean: ## remove what the targets made
	rm -rf $(VENV) demo
