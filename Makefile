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
CORES := $(shell getconf _NPROCESSORS_ONLN)
WORKERS ?= $(shell n=$(CORES); echo $$(( n < 4 ? 2 * n : 8 )))

# The crash cases (docs/faults.md): where their figures go, how many there must be, and which part of them is run.
FIGURES := .faults
CASES_MIN := 10000
THINNER ?= 1
# The soak: how long programs are killed, how often each must have been, and how many seconds apart.
MINUTES ?= 2
KILLS ?= 2
PAUSE ?= 2 5

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
	@rm -rf $(FIGURES)
	FLORIN_FAULTS_FIGURES=$(FIGURES) $(BIN)/pytest -n $(WORKERS) --dist loadgroup $(TESTS)
	$(if $(TESTS),,$(BIN)/python -m tests.faults.figures $(FIGURES) --cases-min $(CASES_MIN))

.PHONY: faults
faults: setup  ## crash it in every place and print the figures; CASE=... shows one case, THINNER=0 runs all there are
ifdef CASE
	$(BIN)/python -m tests.faults $(CASE)
else
	@rm -rf $(FIGURES)
	FLORIN_FAULTS_FIGURES=$(FIGURES) FLORIN_FAULTS_THINNER=$(THINNER) $(BIN)/pytest -n $(CORES) tests/faults
	$(BIN)/python -m tests.faults.figures $(FIGURES) --cases-min $(CASES_MIN)
endif

.PHONY: soak
soak: setup  ## kill its programs under load for MINUTES=2, and check what became of the money
	$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) --kills-min $(KILLS) --pause $(PAUSE)

.PHONY: reconcile-proof
reconcile-proof: setup  ## reconcile a week of 10,000 payments with 50 planted differences, and find exactly those
	FLORIN_RECONCILE_PAYMENTS=10000 $(BIN)/pytest -s tests/reconciliation

.PHONY: bench
bench: setup  ## compare it with others, in about ten minutes; ARGS="..." are passed on: see benchmarks/README.md
	$(BIN)/python -m benchmarks $(ARGS)

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
