# Everything runs in a virtual environment of its own; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Checks the types of the explorer’s modules; the package itself needs neither node nor a build.
TSC := npx --yes --package typescript@7.0.2 tsc

.PHONY: demo test test-slow test-frameworks check bench lint types scripts imports docs wheel clean

demo: $(VENV)/.installed
	$(BIN)/weakspot run --output runs/demo --targets T- T+ T+- RIGHT LEFT

test: $(VENV)/.dev
	$(BIN)/python -m pytest

# The tests that take longest: clusters, whole examples, and the larger part of the reliability suite.
test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

# The tests of frameworks that ask for older packages than ours or need many others, in an environment of their own.
test-frameworks: build/frameworks/.installed
	build/frameworks/bin/python -c "import flax, jax, mujoco, pufferlib.models, sbx, tianshou"
	build/frameworks/bin/python -m pytest tests/test_jax.py tests/test_mujoco.py tests/test_pufferlib.py tests/test_tianshou.py

build/frameworks/.installed: pyproject.toml constraints.txt tests/frameworks.txt
	$(PYTHON) -m venv build/frameworks
	build/frameworks/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]' -r tests/frameworks.txt
	build/frameworks/bin/pip install --quiet --no-deps pufferlib==1.0.1 sensai-utils==1.6.0 tianshou==2.0.1
	touch $@

check: lint types scripts imports docs test wheel

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/pyright

scripts:
	@if command -v npx > /dev/null; then $(TSC) --noEmit --project jsconfig.json; else echo "no node: the types of the explorer's modules are not checked"; fi

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# The documentation site, in build/site; fails if a link leads nowhere or a page would ask another server for something.
docs: $(VENV)/.dev
	$(BIN)/python -m lab.site

# Builds sdist and wheel, installs the wheel into an empty environment elsewhere, and runs it there on the agent that ships.
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
