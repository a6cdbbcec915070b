# Every target sets up .venv first, when it is missing or older than what it is made from.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SAMPLES := $(VENV)/.samples
NNCODEC := build/nncodec-venv
PIP := $(BIN)/pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help setup mine evolve ui cluster-demo test soak check format samples bench bench-nncodec lock wheel clean
.DELETE_ON_ERROR:

help: ## Show this list
	@echo "make TARGET [ARGS='more arguments']"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 15 | sed 's/^/  /'

setup: $(READY) ## Set up .venv with the exact versions of requirements.lock

mine: $(READY) ## Mine sample:minilm on a local Ray cluster; HEAL=1 lets it learn again what coding lost
	@$(BIN)/dna-ray mine sample:minilm --ratio 22 $(if $(HEAL),--heal agreement --steps 400) $(ARGS)

evolve: $(READY) ## Evolve 200 sparsity agents on sample:minilm on a local Ray cluster
	@$(BIN)/dna-ray evolve sample:minilm $(ARGS)

ui: $(READY) ## Open the MLflow UI on the runs in ./runs
	@$(BIN)/dna-ray ui $(ARGS)

cluster-demo: $(READY) ## Submit to a cluster of three nodes on this machine, and kill one in the middle of each run
	@$(BIN)/python cluster/demo.py $(ARGS)

test: $(READY) ## Run the tests; ARGS=tests/mining for a part of them
	@$(BIN)/pytest --numprocesses=2 --no-loadscope-reorder --durations=10 $(ARGS)

soak: $(READY) ## Kill workers, nodes and drivers 50 times each; hours. KILLS=16 FIRST=2 ARGS="-k mining-driver" for some of them
	@DNA_RAY_SOAK=100000 $(BIN)/pytest --kills=$(or $(KILLS),50) --first-run=$(or $(FIRST),0) --timeout=3600 \
		tests/cluster tests/evolution/metric $(ARGS)

check: $(READY) ## Format, lint, types, who imports whom
	@$(BIN)/ruff format --check --quiet . || { echo "not formatted: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@report=$$($(BIN)/lint-imports --no-logo) || { echo "$$report"; exit 1; }
	@echo "check: nothing to complain about"

format: $(READY) ## Format the code, and mend what ruff can mend
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

samples: $(SAMPLES) ## Install the sample networks mpnet and effnet (about 430 MB)

bench: $(READY) ## List the benchmarks, or run one: ARGS=benchmarks/NAME.py
	@if [ -n "$(ARGS)" ]; then $(BIN)/python $(ARGS); else \
		for file in $$(grep -l __main__ benchmarks/*.py); do echo "make bench ARGS=$$file"; done; fi

bench-nncodec: $(READY) $(NNCODEC)/.ready ## Measure nncodec, the coder of ISO/IEC 15938-17, as a yardstick
	@$(BIN)/python benchmarks/nncodec_yardstick.py $(ARGS)

lock: ## Renew requirements.lock from the ranges in pyproject.toml
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install -qq torch==2.13.0 .[samples,dev,bench]
	{ sed '/^#/!d' requirements.lock; \
	  build/lock/bin/pip freeze --all --exclude pip --exclude dna-ray | sed 's/+cpu$$//'; } > build/requirements.lock
	mv build/requirements.lock requirements.lock

wheel: $(READY) ## Build the wheel in dist/
	@$(BIN)/hatchling build --target wheel

clean: ## Remove .venv, builds and caches; runs/ stays
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find dna_ray tests jobs benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

# The packages in the lock first, in one resolution, so that nothing of ours can change them.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or later is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11"; exit 1; }
	@echo "Setting up $(VENV): some minutes the first time"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install -qq --requirement requirements.lock
	@$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@

# Without their dependencies: those of efficientnet-lite-pytorch would bring torchvision, which nothing here needs.
$(SAMPLES): $(READY) dna_ray/networks/samples.py
	@$(BIN)/python -c 'from dna_ray.networks.samples import SAMPLES; print(*(s.install for s in SAMPLES.values()), sep="\n")' \
		| xargs -L 1 $(PIP) install -qq
	@touch $@

# An environment of its own: nncodec needs numpy < 2. Without its dependencies, of which the coder uses numpy alone.
$(NNCODEC)/.ready: | $(READY)
	@echo "Setting up $(NNCODEC): compiles C++, about three minutes"
	@$(BIN)/python -m venv $(NNCODEC)
	@$(NNCODEC)/bin/pip --disable-pip-version-check install -qq numpy==1.26.4
	@$(NNCODEC)/bin/pip --disable-pip-version-check install -qq --no-deps nncodec==2.1.3
	@touch $@
