# The commands of the house; CI calls the same ones. Each sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEPENDENCIES := $(VENV)/.dependencies
EXTENSION := $(VENV)/.extension
RUST := Cargo.toml Cargo.lock $(shell find rust -name '*.rs' -o -name Cargo.toml)
OUT ?= tidewheel-demo

SECONDS ?= 600
EXAMPLES ?= 20000
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
# What libFuzzer needs to see (branches and comparisons), and the address sanitizer, which stable rustc has behind this variable.
FUZZED = RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Ccodegen-units=1 -Cpasses=sancov-module \
	-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"

.PHONY: setup demo test lint bench peers bench-peers golden bench-instructions agreement calibration verdicts over-time drill breakages wheel check-wheel fuzz fuzz-tables format clean

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
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps -p tidewheel-core

bench: setup
	$(BIN)/python -m pytest benches/drift benches/serving -q --benchmark-columns=min,median,rounds --benchmark-disable-gc -s --results

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

# Instructions a value, which do not depend on how busy the machine is; needs valgrind from the system's packages.
bench-instructions:
	@command -v valgrind >/dev/null || { echo "valgrind is needed: apt-get install valgrind"; exit 1; }
	cargo build --quiet --release -p tidewheel-core --example kernels
	$(PYTHON) benches/instructions.py $${CARGO_TARGET_DIR:-target}/release/examples/kernels

# 108,000 random cases against SciPy and NumPy (2 minutes of a core); writes docs/agreement.md.
agreement: setup
	$(BIN)/python benches/agreement.py

# Simulates the drift core's tests and writes docs/calibration.md (15 minutes).
calibration: setup
	$(BIN)/python benches/calibration.py

# Is `stable` said of effects that matter, or `drifted` of those that do not? (half an hour; --quick: two minutes; prints a table).
verdicts: setup
	$(BIN)/python benches/verdicts.py

# Years of hourly looks, simulated for docs/over-time.md (10 minutes; ARGS=--quick: seconds, and nothing is written).
over-time: setup
	$(BIN)/python benches/over_time.py $(ARGS)

# What takes too long for every change: the demo, killed at six points and started again (15 minutes).
drill: setup
	$(BIN)/python -m pytest drills -q -s --ignore=drills/test_drill_breakages.py

# Breaks a copy of the drift core in some ninety ways, one at a time, and sees the tests of docs/pitfalls.md fail
# (25 minutes of one core; ARGS="-k NAME" for one).
breakages: setup
	$(BIN)/python -m pytest drills/test_drill_breakages.py -q -s $(ARGS)

# dist/ gets the wheel (for Python 3.11 and every later one) and the source distribution.
wheel: setup
	$(BIN)/maturin build --release --out dist
	$(BIN)/maturin sdist --out dist

# Builds the wheel from the source distribution and installs it without Rust: two minutes, so not in `make test`.
check-wheel: setup
	$(BIN)/python -m pytest drills/test_drill_wheel.py -q

# EXAMPLES of any two tables (10 minutes of a core), then hostile Arrow structs and state bytes, SECONDS for each: these need
# a C++ compiler. A table that fails is printed; other findings are written to target/fuzz.
fuzz: fuzz-tables
	$(BIN)/python -m pip install -q "atheris>=3,<4"
	$(FUZZED) cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target $(HOST)
	mkdir -p target/fuzz/corpus/arrow target/fuzz/corpus/states
	target/fuzz/$(HOST)/release/arrow -max_total_time=$(SECONDS) -max_len=2048 -print_final_stats=1 \
		-artifact_prefix=target/fuzz/ target/fuzz/corpus/arrow fuzz/seeds/arrow
	$(BIN)/python fuzz/states.py -max_total_time=$(SECONDS) -max_len=8192 -rss_limit_mb=1500 -timeout=60 \
		-print_final_stats=1 -artifact_prefix=target/fuzz/ target/fuzz/corpus/states

fuzz-tables: setup
	RUST_BACKTRACE=0 $(BIN)/python fuzz/tables.py --examples $(EXAMPLES)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml

clean:
	rm -rf $(VENV) .peers target build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
