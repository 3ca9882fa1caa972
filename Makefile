# The commands of this project. `make` alone lists them.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
LITELLM := .litellm
ROOMS  := schemas instrumentation collector query_api server
NODE   := tests/e2e/node

.DEFAULT_GOAL := help
.PHONY: help install demo serve test faults fuzz golden matrix frameworks test-fast lint format types bench bench-quick bench-query bench-reprice plots soak node clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | column -t -s '|'

# The stamp says for which pyproject.toml the environment was made.
$(VENV)/.installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer, or say make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is too old: Python 3.11 or newer is needed"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -c "import spanledger.collector.rows.block"  # compiles it, once
	@touch $@

# LiteLLM wants an older openai than the other tests.
$(LITELLM)/.installed: pyproject.toml
	$(PYTHON) -m venv $(LITELLM)
	$(LITELLM)/bin/python -m pip install --quiet --upgrade pip
	$(LITELLM)/bin/python -m pip install --quiet --editable '.[dev-litellm]'
	@touch $@

install: $(VENV)/.installed  ## make the virtual environment and install everything into it

demo: $(VENV)/.installed  ## run an example application and print the span tree of its calls
	@$(BIN)/spanledger demo

serve: $(VENV)/.installed  ## run collector and API on an embedded database until Ctrl-C
	@exec $(BIN)/spanledger serve

test: $(VENV)/.installed $(LITELLM)/.installed node  ## run all tests
	$(LITELLM)/bin/pytest -W default tests/instrumentation/test_litellm.py
	$(BIN)/pytest

faults: $(VENV)/.installed  ## the fault runs alone, with 100 rounds of kill -9 (or KILL_ROUNDS=20)
	KILL_ROUNDS=$${KILL_ROUNDS:-100} $(BIN)/pytest tests/faults

fuzz: $(VENV)/.installed  ## damaged requests for ten minutes (or FUZZ_SECONDS=60), with all bounds checked
	NUMBA_BOUNDSCHECK=1 FUZZ_SECONDS=$${FUZZ_SECONDS:-600} $(BIN)/pytest -s tests/fuzz

golden: $(VENV)/.installed  ## record what other instrumentations send (minutes, from package registries; or NAMES="...")
	$(BIN)/python -m tests.dialects.record $(NAMES)

matrix: $(VENV)/.installed  ## try older versions of the OpenAI SDK (minutes, from package registries; or VERSIONS="...")
	$(BIN)/python -m tests.instrumentation.matrix $(VERSIONS)

frameworks: $(VENV)/.installed  ## run applications of real frameworks under us (minutes, from package registries)
	$(BIN)/python -m tests.instrumentation.frameworks $(NAMES)

test-fast: $(VENV)/.installed  ## run the tests that take less than a few seconds each
	$(BIN)/pytest -m 'not slow'

lint: $(VENV)/.installed  ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed  ## mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# mypy does not follow the editable install's finder, so it gets the packages as a tree of links.
types: $(VENV)/.installed  ## check types
	@mkdir -p .mypy/spanledger
	@for room in $(ROOMS); do ln -sfn ../../$$room .mypy/spanledger/$$room; done
	MYPYPATH=.mypy $(BIN)/mypy -p spanledger

bench: $(VENV)/.installed  ## measure 2 million spans beside what ClickHouse can do with the same rows (minutes)
	$(BIN)/python -m bench --json bench-results.json

bench-quick: $(VENV)/.installed  ## the same with few spans, for a first impression (two minutes)
	$(BIN)/python -m bench --quick

bench-query: $(VENV)/.installed  ## ask ten million stored spans (a quarter of an hour; 5 GB, kept in bench-data)
	$(BIN)/python -m bench.query --json bench-query-results.json

bench-reprice: $(VENV)/.installed  ## work out the costs of a million stored calls again (two minutes)
	$(BIN)/python -m bench.reprice

plots: $(VENV)/.installed  ## put the figures of the last `make bench` into docs/performance.md
	$(BIN)/python -m bench.plots bench-results.json

soak: $(VENV)/.installed  ## ten minutes of load at half of what the ledger takes, into docs/performance.md
	$(BIN)/python -m bench.soak

# One test sends spans with the official OTLP exporter of Node.js; without Node.js it says so and goes on.
node:
	@if ! command -v npm >/dev/null; then \
		echo "npm is missing: the test with the Node.js exporter will be skipped"; \
	elif ! test -f $(NODE)/node_modules/.package-lock.json; then \
		npm ci --prefix $(NODE) --no-audit --no-fund --loglevel=error \
			|| echo "npm ci failed: the test with the Node.js exporter will be skipped"; \
	fi

clean:  ## remove what the commands above made
	rm -rf $(VENV) $(LITELLM) .matrix .recording .mypy .mypy_cache .hypothesis .pytest_cache .ruff_cache build dist *.egg-info $(NODE)/node_modules
