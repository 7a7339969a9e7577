# The two commands of the README: `make run` and `make test`. Both make .venv first and need no root.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint bench bench-registration bundle wheel setup monailabel clean

setup: $(VENV)/installed

# One stamp for the whole environment: made anew when a pin or a dependency changes.
$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "scanweave needs Python 3.11 or later; try make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

run: setup
	$(BIN)/scanweave demo -o out --overwrite

# Two processes: most tests wait for one core. JOBS=0 runs them one after the other.
JOBS ?= 2
test: setup
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

# ruff on the sources, mypy on the installed wheel (static checkers cannot follow package_dir in editable mode).
lint: setup
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[lint]'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	scripts/mypy-wheel

# scanweave beside its alternatives (docs/performance.md); hours for everything: make bench BENCH="--studies tcga-fg-6692"
bench: setup
	$(BIN)/python benchmarks/bench.py $(BENCH)

# How reliably series are registered (docs/registration.md): twenty minutes of one core.
bench-registration: setup
	$(BIN)/python benchmarks/registration.py $(BENCH)

# MONAI Label's server in an environment of its own (docs/monailabel.md).
monailabel: .monailabel/installed

.monailabel/installed: integrations/monailabel/requirements.txt scripts/install-monailabel
	PYTHON=$(PYTHON) scripts/install-monailabel

# Each bundle as a zip that MONAI can download; needs no environment.
bundle:
	$(PYTHON) scripts/make-bundle

# setuptools would ship what an older build left in build/, and leaves one itself.
wheel:
	rm -rf build
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .
	rm -rf build

clean:
	rm -rf $(VENV) .monailabel out build dist src/*.egg-info benchmarks/.work
