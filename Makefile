# The commands of the house; CI calls the same ones. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEPENDENCIES := $(VENV)/.dependencies
EXTENSION := $(VENV)/.extension
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
OUT ?= tidewheel-demo

.PHONY: setup demo test lint bench drill format clean

setup: $(EXTENSION)

$(DEPENDENCIES): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Tidewheel needs Python 3.11 or newer; set PYTHON=...")'
	@command -v cargo >/dev/null || { echo "Tidewheel needs Rust (cargo) to build its extension: see README.md"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[lifecycle,demo,dev]"
	touch $@
	touch $(EXTENSION)

# Building again after a change in Rust needs no package index.
$(EXTENSION): $(DEPENDENCIES) $(RUST)
	$(BIN)/python -m pip install -q --no-build-isolation --no-deps -e .
	touch $@

demo: setup
	$(BIN)/tidewheel demo --out $(OUT)

# Without Chromium, and without the right to install it, all other tests run, and the last line says what did not.
test: setup
	cargo test --quiet --workspace
	@if .ci/browser >/dev/null; then set -x; $(BIN)/python -m pytest -q; else \
	  (set -x; $(BIN)/python -m pytest -q -m "not browser"); told=$$?; \
	  echo "*** NOT TESTED: the pages in a browser. Install Chromium (Debian: apt-get install chromium), then make test again. ***"; \
	  exit $$told; fi

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tidewheel._native
	$(BIN)/python -m pytest -q tests/test_layers.py
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings

bench: setup
	$(BIN)/python -m pytest benches -q --benchmark-columns=min,median,rounds --benchmark-disable-gc -s

# What takes too long for every change: the demo, killed at six points and started again (15 minutes).
drill: setup
	$(BIN)/python -m pytest drills -q -s

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt --all

clean:
	rm -rf $(VENV) target build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
