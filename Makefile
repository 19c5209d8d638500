# Everything runs in a virtual environment of its own; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check bench lint types imports wheel clean

demo: $(VENV)/.installed
	$(BIN)/weakspot run --output runs/demo --targets T- T+ T+- RIGHT LEFT

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: lint types imports test wheel

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/pyright

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# Builds the wheel, installs it into an empty environment elsewhere, and runs it there on the agent that ships.
wheel: $(VENV)/.dev
	$(BIN)/python -m lab.wheel

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.all

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
