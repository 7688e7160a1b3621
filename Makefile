# The commands of the house; CI calls the same ones. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEPENDENCIES := $(VENV)/.dependencies
EXTENSION := $(VENV)/.extension
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
OUT ?= tidewheel-demo

.PHONY: setup demo test lint bench peers bench-peers golden drill format clean

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

test: setup
	cargo test --quiet --workspace
	$(BIN)/python -m pytest -q

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest tidewheel._native
	$(BIN)/python -m pytest -q tests/test_layers.py
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings

bench: setup
	$(BIN)/python -m pytest benches -q --benchmark-columns=min,median,rounds --benchmark-disable-gc -s --results

# Other tools, each in an environment of its own: a plain install of today's packages fails at import for most of them.
TOOLS := evidently nannyml scouter frouros popmon whylogs
ROWS ?= 1000000
CASES ?=

.peers/%/.installed: benches/peers/%.txt
	$(PYTHON) -m venv .peers/$*
	.peers/$*/bin/python -m pip install -q --disable-pip-version-check --no-deps -r $<
	touch $@

peers: $(TOOLS:%=.peers/%/.installed)

bench-peers: setup $(patsubst %,.peers/%/.installed,evidently nannyml scouter)
	$(BIN)/python benches/peers/bench_peers.py $(ROWS) $(CASES)

# The other tools' numbers that tests compare with, asked anew.
golden: peers
	.peers/evidently/bin/python benches/peers/make_golden.py evidently
	.peers/nannyml/bin/python benches/peers/make_golden.py nannyml
	.peers/frouros/bin/python benches/peers/make_conventions.py frouros
	.peers/popmon/bin/python benches/peers/make_conventions.py popmon
	.peers/scouter/bin/python benches/peers/make_conventions.py scouter-ml
	.peers/whylogs/bin/python benches/peers/make_conventions.py whylogs

# What takes too long for every change: the demo, killed at six points and started again (15 minutes).
drill: setup
	$(BIN)/python -m pytest drills -q -s

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt --all

clean:
	rm -rf $(VENV) .peers target build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
