# Needs make and Python 3.11 or newer; everything else is installed into .venv.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
JOBS ?= 2
PYTEST_ARGS ?=

# The first interpreter that is new enough and can make a virtual environment. Override with PYTHON=/path/to/python.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3 python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; \
	done)

.PHONY: help run test test-sqlite test-postgres check format bench chaos cases clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "durable-host needs Python 3.11 or newer with the venv module, and found none on the PATH." >&2; \
	  echo "Install one (Debian/Ubuntu: apt install python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
	  exit 1; fi
	@echo "Making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)

# Stamp files: installed again only when pyproject.toml changes.
$(VENV)/.installed-runtime: pyproject.toml | $(BIN)/python
	@echo "Installing what the host needs (a minute, the first time only)"
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing what the host and its tests need (a minute or two, the first time only)"
	@$(PIP) install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed-runtime

run: $(VENV)/.installed-runtime ## Start everything on 127.0.0.1 (PORT=8000, DURABLE_VAR=var)
	@exec $(BIN)/python manage.py durable_run

test: $(VENV)/.installed-dev ## Run all tests on SQLite, then the database ones on PostgreSQL
	@$(BIN)/python -m tests.run_all -n $(JOBS) $(PYTEST_ARGS)

test-sqlite: $(VENV)/.installed-dev ## Run all tests, on SQLite only
	@TEST_DATABASE=sqlite $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

test-postgres: $(VENV)/.installed-dev ## Run the database tests, on PostgreSQL only
	@TEST_DATABASE=postgres $(BIN)/python -m pytest -n $(JOBS) -m '(store or e2e) and not (browser or once)' $(PYTEST_ARGS)

check: $(VENV)/.installed-dev ## Check format, lint, types, import floors, migrations and Django's own checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python manage.py check --fail-level WARNING

format: $(VENV)/.installed-dev ## Rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed-dev ## Measure this host beside its peers (BENCH_ARGS=--quick)
	@$(BIN)/python -m bench $(BENCH_ARGS)

chaos: $(VENV)/.installed-dev ## Let everything fail under load, and look (MINUTES=2 DATABASE=sqlite SEED=…)
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),2) --database $(or $(DATABASE),sqlite) $(if $(SEED),--seed $(SEED))

cases: $(VENV)/.installed-dev ## Run the thirty cases on both databases, and show how long each took to recover
	@$(BIN)/python -m tests.cases -n $(JOBS) $(PYTEST_ARGS)

clean: ## Remove the virtual environment and caches (keeps var/)
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
