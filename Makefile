# make bench   environment, then the main job and its report
# make test    environment, then the tests
# make check   lint, types, layers
# make gpu-check   everything that a GPU has to confirm; needs no network, and any environment that has the project's packages
# make faults  everything that can go wrong, at every moment, under every launcher, and on several hosts: tables, in an hour

VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin

.PHONY: bench test check fuzz gpu-check faults env

bench: env
	$(BIN)/rankbench run

# e.g. make fuzz SECONDS=600 SEED=7
fuzz: env
	PYTHONPATH=. $(BIN)/python benchmarks/fuzz.py $(or $(SECONDS),60) $(or $(SEED),0)

test: env
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m "not quiet" --durations 25 --durations-min 5
	$(BIN)/python -m pytest -m quiet

check: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

gpu-check:
	@$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) benchmarks/gpu_check.py

faults: env
	$(BIN)/python -m tests.faults.matrix
	$(BIN)/python -m tests.faults.hosts

env: $(VENV)/.complete

# pip, and not a faster one, so that a local build of PyTorch is found where pip is set up to find it
$(VENV)/.complete: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@
