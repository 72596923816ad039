# make install   the set-up: virtual environment, pinned packages, links for the type checker
# make campaign  the set-up, then one example campaign of a few minutes
# make test      the set-up, then lint, types, import rules and tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
GOAL ?= find the most stable compound in the Na-Cl system; 8 evaluations; 3 rounds

.PHONY: help install campaign test lint dft constraints clean

help:
	@sed -n 's/^# //p' Makefile

install: $(STAMP)

# The CPU build of torch is large enough; the pinned version keeps other packages from pulling another one.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt setuptools wheel pip
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	mkdir -p .links/lodestone
	for room in agent loops surrogate tools; do ln -sfn ../../$$room .links/lodestone/$$room; done
	touch $(STAMP)

campaign: install
	$(BIN)/lodestone run "$(GOAL)" --yes --evaluator sevennet

test: lint
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p lodestone.agent -p lodestone.loops -p lodestone.surrogate -p lodestone.tools
	PYTHONPATH=.links $(BIN)/lint-imports

# GPAW is compiled; on Debian and Ubuntu: apt-get install libxc-dev libopenblas-dev gcc g++ python3-dev
dft: install
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dft]'

# Writes constraints.txt anew from what the newest allowed versions resolve to.
constraints:
	rm -rf .venv-pins
	$(PYTHON) -m venv .venv-pins
	.venv-pins/bin/pip install --quiet --upgrade pip setuptools wheel
	.venv-pins/bin/pip install --quiet torch==2.13.0
	.venv-pins/bin/pip install --quiet -e '.[dev,dft,benchmarks]'
	(echo 'fastapi<0.155'; .venv-pins/bin/pip list --format=freeze --exclude-editable | grep -v '^fastapi==') | \
		sed 's/+cpu$$//' | grep -v '^lodestone' > constraints.txt
	rm -rf .venv-pins

clean:
	rm -rf $(VENV) .links build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
