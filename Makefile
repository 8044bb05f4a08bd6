# Everything from a clean clone, without root: `make demo` and `make test` set up what they need.
.PHONY: setup demo test lint bench bench-replay crash-campaign fuzz clean
VENV := .venv
BIN := $(VENV)/bin

setup:
	@sh scripts/bootstrap.sh

demo: setup
	@sh scripts/demo.sh

test: lint
	@sh scripts/bootstrap.sh --kubernetes  # built once, about five minutes; then from the cache
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m "not sandbox or untimed"
	@$(BIN)/python -m pytest tests/sandbox -m "not untimed"  # one at a time: they time what they see

lint: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup
	@$(BIN)/python -m benchmarks

bench-replay: setup
	@$(BIN)/python -m benchmarks.bench_replay

# Strikes at random points across all faults, ours beside plain `chaos run`; the last line is the figure.
N ?= 200
FEATURES ?=
crash-campaign: setup
	@$(BIN)/python -m benchmarks.bench_crash -n $(N) --features "$(FEATURES)"

fuzz: setup
	@MUSTER_FUZZ_CASES=10000 $(BIN)/python -m pytest -q tests/contract/test_importers_fuzz.py

clean:
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m sandbox down || true; fi
	rm -rf $(VENV) runs benchmarks/out dist .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
