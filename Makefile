# The front door. `make run` needs Python >= 3.11, git and make, and builds the rest itself.
.PHONY: help run test quick check honesty bench install clean
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null \
	&& { command -v $$p; break; }; done)
BIN := .venv/bin
STAMP := .venv/.installed
# `check` ran the contracts.
PYTEST = $(BIN)/python -m pytest --numprocesses auto --dist worksteal --ignore tests/contracts
# Without compiled bytecode the first imports cost seconds each.
unexport PYTHONDONTWRITEBYTECODE
export PATH := $(CURDIR)/$(BIN):$(PATH)

help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

run: $(STAMP) ## build the model of params.yaml: the whole chain, only what changed
	@$(BIN)/pedigree run

test: check ## check, then every other test
	@$(PYTEST)

quick: check ## check, then the tests that take less than ten seconds
	@$(PYTEST) -m "not slow"

check: $(STAMP) ## style, types, import laws and contracts, in seconds
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --num-workers auto
	@$(BIN)/lint-imports --no-cache 2>&1 | grep -E "Contracts:|BROKEN|->" ; $(BIN)/lint-imports --no-cache >/dev/null
	@$(BIN)/python -m pytest tests/contracts

honesty: $(STAMP) ## plant changes and show what each driver of the cache re-runs
	@$(BIN)/python -m tests.honesty

bench: $(STAMP) ## measure what the README claims
	@$(BIN)/python -m tests.benchmarks

install: $(STAMP) ## only make the environment

$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "error: no Python from 3.11 to 3.13 (with venv) was found on the PATH;" \
		"install one (on Debian: apt-get install python3 python3-venv), or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 2; }
	@test $$(df -Pk . | awk 'NR==2 {print int($$4/1024/1024)}') -ge 6 || { test -d .venv || { \
		echo "error: less than 6 GB free on this disk; the environment and the results need about 5 GB" >&2; exit 5; }; }
	@echo "making the environment in .venv (once, 1 to 3 minutes)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@sed -n '/^uv==/,/^    # via/p' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --system-certs --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

clean: ## remove the environment and all results
	rm -rf .venv .pedigree data dvc.lock sources.lock.json records.lock.json
