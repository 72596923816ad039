# make install   the set-up: virtual environment, pinned packages, links for the type checker
# make campaign  the set-up, then one example campaign of a few minutes
# make lab       the set-up, then one synthesis in a simulated laboratory
# make test      the set-up, then lint, types, import rules and tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
GOAL ?= find the most stable compound in the Na-Cl system; 8 evaluations; 3 rounds

ALONE := tests/loops/service tests/loops/compute tests/loops/notify tests/loops/test_faults.py tests/loops/test_flow.py \
	tests/loops/synthesis tests/tools/evaluate/test_bad_calculations.py tests/tools/evaluate/test_worker_survival.py

.PHONY: help install campaign lab test lint dft constraints clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

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

lab: install
	$(BIN)/lodestone run "Synthesise phase-pure LiCoO2 in at most 20 experiments" --yes

# One thread a worker, and a file of tests to a worker as a whole, since its tests share a campaign. In the order of the tree
# the slow files come first. Those that watch the clock, or fill the cores on purpose, run by themselves.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest $(ALONE)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p lodestone.agent -p lodestone.loops -p lodestone.surrogate -p lodestone.tools
	PYTHONPATH=.links $(BIN)/lint-imports

# GPAW is compiled; on Debian and Ubuntu: apt-get install libxc-dev libopenblas-dev gcc g++ python3-dev
# Without MPI, which its jobs do not use: it would be chosen wherever there is an mpicc, even one that cannot link.
dft: install
	printf "mpi = False\nlibraries += ['blas']\n" > $(VENV)/gpaw_siteconfig.py
	GPAW_CONFIG=$(abspath $(VENV))/gpaw_siteconfig.py $(BIN)/pip install --quiet -c constraints.txt -e '.[dft]'

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
