# `make demo` and `make test` need only Python 3.11 or later with venv; all else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

.PHONY: demo test lint types bench bench-pixels clean

demo: $(VENV)/installed
	rm -rf $(DEMO)
	$(BIN)/python -m pipelines.synthesize --output $(DEMO)/open-images --images 200
	$(BIN)/python -m pipelines.build \
	    --annotations $(DEMO)/open-images/annotations \
	    --images $(DEMO)/open-images/images \
	    --masks $(DEMO)/open-images/masks \
	    --output $(DEMO)/dataset
	$(BIN)/python -m pipelines.draw $(DEMO)/dataset --output $(DEMO)/examples.png

test: $(VENV)/installed
	$(BIN)/python -m pytest

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/pyrefly check

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.annotations

bench-pixels: $(VENV)/installed
	$(BIN)/python -m benchmarks.pixels

clean:
	rm -rf $(VENV) $(DEMO)

$(VENV)/installed: setup.py
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[tensorflow,test]'
	touch $@
