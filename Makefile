# Needs git, make and Python 3.11 or newer. Everything is installed into .venv.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin

.PHONY: demo demo-gnetdet test test-slow lint bench clean

demo: .venv/plain.stamp  ## draw data, train, quantise, lower, compile
	$(BIN)/python tools/demo.py

demo-gnetdet: .venv/plain.stamp  ## GNetDet on drawn shapes, all its steps down to the chip model and its pictures
	$(BIN)/python tools/demo.py gnetdet

test: .venv/dev.stamp  ## all tests but the slow ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS)

test-slow: .venv/dev.stamp  ## all tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) -m "slow or not slow"

lint: .venv/dev.stamp  ## style, types and the import contract
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/bench.stamp  ## measurements beside other runtimes; their numbers are printed, not asserted
	@for file in $(sort $(wildcard benchmarks/*.py)); do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .hypothesis .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "hatlite needs Python 3.11 or newer, and $(PYTHON) is not. Name another one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; \
	  exit 1; }
	$(PYTHON) -m venv .venv
	touch $@

.venv/plain.stamp: .venv/python.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/dev.stamp: .venv/python.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

.venv/bench.stamp: .venv/python.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	touch $@
