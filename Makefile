# make demo: set up on the first call, then the whole way on the bundled pictures
# make test: set up on the first call, then all tests

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test lint debian

demo: $(READY)
	$(BIN)/strop demo

test: $(READY)
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# What some tests use beside Python: a browser, the full Fashion-MNIST, a font with Chinese glyphs.
debian:
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends chromium dataset-fashion-mnist fonts-wqy-microhei

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@
