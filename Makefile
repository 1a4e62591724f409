# Everything here works on a machine that has Python 3.11 or newer and make, and nothing else.
#
#   make dev                       the API, a database of its own and a stand-in card processor
#   make dev ARGS="--port 9000"    the same, with arguments for `florin dev`
#   make test                      every check that CI runs
#
# `make help` lists the rest.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Some tests wait for programs that they start, so that twice as many workers as cores keep the cores busy.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$(( n < 4 ? 2 * n : 8 )))

BIN := .venv/bin

.PHONY: help
help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "%-14s %s\n", $$1, $$2 }'

.PHONY: setup
setup:  ## install Python packages into .venv, as uv.lock says
	@sh scripts/bootstrap.sh

.PHONY: dev
dev: setup  ## run everything on this machine; ARGS="..." are passed on
	@exec $(BIN)/florin dev $(ARGS)

.PHONY: test
test: setup  ## run every check, then the tests; TESTS="..." chooses some
	@$(MAKE) --no-print-directory -j 2 -O checks
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup $(TESTS)

.PHONY: checks
checks: types format-check lint imports browser

.PHONY: fmt
fmt: setup  ## format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: docs
docs: setup  ## write schema.graphql and the pages of docs/ that the code determines
	$(BIN)/florin schema > schema.graphql
	$(BIN)/python -m scripts.write_docs

.PHONY: format-check
format-check: setup
	$(BIN)/ruff format --check

.PHONY: lint
lint: setup  ## look for mistakes
	$(BIN)/ruff check

.PHONY: types
types: setup  ## check the types
	$(BIN)/mypy

.PHONY: imports
imports: setup  ## check which package may import which
	$(BIN)/lint-imports

.PHONY: browser
browser: setup
	$(BIN)/python scripts/ensure_chromium.py

.PHONY: clean
clean:  ## remove what was installed and cached; databases in .florin stay
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
