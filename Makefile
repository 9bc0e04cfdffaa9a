# Set-up, checks and the demo; `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test lint types layers images unit schedule store browser doctor lock clean

# The first interpreter that fits; else python3, of which the preflight then says what is wrong with it.
FITS := import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)) or print(sys.executable))
ifndef PYTHON
PYTHON := $(shell for python in python3.11 python3.12 python3; do \
	"$$python" -c "$(FITS)" 2>/dev/null && exit; done; echo python3)
endif

# A machine whose NVIDIA driver answers takes the CUDA lock; `make LOCK=cpu.lock ...` chooses.
LOCK := $(shell [ "$$(uname -m)" = x86_64 ] && nvidia-smi -L >/dev/null 2>&1 && echo cuda.lock || echo cpu.lock)

# A changed lock, or changed metadata, gives another stamp and so another set-up; an unchanged one costs nothing.
STAMP := .venv/.stamp-$(LOCK)-$(shell cat $(LOCK) setup.cfg pyproject.toml jobs/jars.py | sha256sum | cut -c1-16)
UV := .cache/tools/bin/uv
BIN := .venv/bin
export UV_HTTP_TIMEOUT ?= 300

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMP) ## Set up if needed, then run from raw tables to a trained, evaluated model and its report
	@$(BIN)/lattice demo $(ARGS)

test: $(STAMP) ## Set up if needed, then run every check and the whole test suite
	@for step in browser lint types layers images unit; do \
		start=$$SECONDS; $(MAKE) --no-print-directory $$step; echo "make $$step: $$((SECONDS - start)) s"; done

setup: $(STAMP) ## Create .venv from the hashed lock and fetch Delta's jars, if that is not done yet

$(STAMP):
	@command -v "$(PYTHON)" >/dev/null || { printf '%s\n  %s %s\n' >&2 \
		'python: found none on PATH; needed: 3.11 or 3.12, with venv.' \
		'Install it (Debian, Ubuntu: apt-get install python3.11 python3.11-venv; elsewhere: python.org)' \
		'or name one: make PYTHON=/path/to/python3.11 ...'; exit 1; }
	@"$(PYTHON)" -m jobs.preflight
	@echo "Setting up .venv from $(LOCK) (the first time: 3 GB to download, some minutes)"
	@$(MAKE) --silent --no-print-directory $(UV)
	@$(BIN)/python -c "$(FITS)" >/dev/null 2>&1 || $(UV) venv --quiet --clear --python "$(PYTHON)" .venv
	@$(UV) pip sync --python .venv --require-hashes --build-constraints $(LOCK) $(LOCK)
	@$(UV) pip install --quiet --python .venv --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m jobs.jars
	@rm -f .venv/.stamp-*
	@touch $@

$(UV): bootstrap.txt
	@"$(PYTHON)" -m venv .cache/tools
	@.cache/tools/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement bootstrap.txt
	@touch $@

lint: $(STAMP) ## Ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy
	$(BIN)/mypy

layers: $(STAMP) ## import-linter: which package may import which
	$(BIN)/lint-imports

images: $(STAMP) ## hadolint: the Dockerfiles
	$(BIN)/hadolint docker/Dockerfile*

unit: $(STAMP) ## pytest in two processes; ARGS passes options, for example make unit ARGS='-n 0 -k zipper'
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

schedule: $(STAMP) ## Check docker/schedule with systemd and, in an environment of its own, Airflow
	systemd-analyze verify --man=no docker/schedule/lattice-nightly.timer
	@[ -x .cache/airflow/bin/airflow ] || { $(UV) venv --quiet --python "$(PYTHON)" .cache/airflow && \
		$(UV) pip install --quiet --python .cache/airflow --requirement docker/schedule/airflow.txt; }
	AIRFLOW_HOME=$(CURDIR)/.cache/airflow-home .cache/airflow/bin/python docker/schedule/check.py

store: $(STAMP) ## Build on an object store: a local S3 server, in an environment of its own
	@[ -x .cache/moto/bin/moto_server ] || { $(UV) venv --quiet --python "$(PYTHON)" .cache/moto && \
		$(UV) pip install --quiet --python .cache/moto --requirement docker/moto.txt; }
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m benchmarks.object_store --server .cache/moto/bin/moto_server

browser: ## Install Chromium for the report's test, where that is possible
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
			apt-get install -qq --yes --no-install-recommends chromium fonts-liberation >/dev/null; } \
		|| echo "chromium: could not be installed, see above"; \
	else echo "chromium: not found; install it (Debian: sudo apt-get install chromium) to test the report in it"; fi

doctor: ## Show what the machine and the environment have, as a table
	@if [ -x $(BIN)/lattice ]; then $(BIN)/python -m jobs.doctor $(ARGS); \
	else "$(PYTHON)" -m jobs.preflight && echo "This machine will do; \`make setup\` creates the environment."; fi

lock: $(UV) ## Resolve requirements.in into both locks again; ARGS=--upgrade takes newer versions
	@compile() { $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' $(ARGS) "$$@"; }; \
	compile requirements.in --override overrides-cpu.txt --output-file cpu.lock; \
	compile requirements.in --override overrides-cuda.txt --output-file cuda.lock; \
	compile - --output-file bootstrap.txt <<< uv

clean: ## Remove the environment and every cache, not the warehouse
	rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info build
