# VibeStream: `make help` lists the verbs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
NODE_PACKAGES := web/prover/node_modules/.package-lock.json simulators/oidc/node_modules/.package-lock.json
STAMP := $(VENV)/.installed-$(shell cat requirements-dev.lock | cksum | cut -d' ' -f1)

.PHONY: help setup run demo verify test test-fast chaos check fmt openapi lock bench ceremony clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) $(NODE_PACKAGES) ## prepare Python, the prover and the sign-in stand-in from the hashed locks (skipped when nothing changed)

$(STAMP): requirements-dev.lock
	@echo "Preparing $(VENV) from requirements-dev.lock (a minute or two the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "VibeStream needs Python 3.11 or newer, found " + sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@rm -f $(VENV)/.installed-* && touch $@

%/node_modules/.package-lock.json: %/package-lock.json
	@echo "Preparing $* from its lock"
	@command -v npm >/dev/null || { echo "VibeStream needs Node 20 with npm, found none"; exit 1; }
	@cd $* && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error && touch node_modules/.package-lock.json

run: setup ## start everything and stay up until Ctrl-C
	@exec $(BIN)/python -m deployments.cli run

demo: setup ## the story of one rewarded listen, on the running system, as it happens (proving takes node and npm)
	@test -d web/prover/node_modules || ! command -v npm >/dev/null || npm ci --prefix web/prover --ignore-scripts --loglevel=error
	@$(BIN)/python -m deployments.cli demo

verify: setup ## derive every balance and share issue and match every order book again, and print any difference
	@$(BIN)/python -m deployments.cli verify

test: setup ## everything a change must pass
	$(BIN)/python -m pytest -q

test-fast: setup ## the tests that need neither Ray nor a killed process
	$(BIN)/python -m pytest -q -m "not slow and not chaos and not ray"

chaos: setup ## kill -9 under load, again and again: make chaos ROUNDS=200 SEED=1
	VIBESTREAM_CHAOS_ROUNDS=$(or $(ROUNDS),20) VIBESTREAM_CHAOS_SEED=$(or $(SEED),1) \
	  $(BIN)/python -m pytest -q -s tests/chaos/test_rounds.py

check: setup ## format, lint, types, import arrows, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/codespell

fmt: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

openapi: setup ## write openapi.json, asyncapi.json and the table of who may call what, from the code
	$(BIN)/python -m deployments.cli openapi

bench: setup ## one benchmark: make bench NAME=ledger
	@$(BIN)/python -m benchmarks $(NAME)

ceremony: ## trusted setup of a new circuit for development, all roles played here: make ceremony STATEMENT=listen-v2
	@echo "Installing circom2, circomlib and snarkjs; then powers of tau and phase 2 (10 to 50 minutes)"
	@cd circuits && npm ci --ignore-scripts --loglevel=error && \
	  node ceremony.mjs develop $(or $(STATEMENT),listen-v1) $(CEREMONY_OPTIONS)

lock: setup ## compile the locks: hashes, no addresses
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-strip-extras --no-emit-index-url requirements.in -o requirements.lock
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-strip-extras --no-emit-index-url requirements-dev.in -o requirements-dev.lock

clean: ## remove caches (never data)
	rm -rf .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
