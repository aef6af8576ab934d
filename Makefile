# What a bare machine needs: make, Python 3.11 or newer, and a package registry.
#
#   make demo     a short tour over a real socket, checked as it goes
#   make test     everything that CI checks: lint, types, tests, coverage
#   make matrix   the wheel on each Python, with old and new dependencies; NOX="-s bare-3.12"
#   make docs     the documentation as a site, build/site/index.html
#   make bench    what the library adds, against floors and the official SDK
#   make fuzz     what is tried at random, TIMES=60 times as much of it, and other each time
#   make soak     ten minutes in which everything goes wrong; MINUTES=1 SOAK="--seed 7"
#   make mutants  whether the tests notice changes to the core; MUTANTS="httpx_cobo_auth._protocol.verdicts*"
#
# Another interpreter:  make PYTHON=python3.13 test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
BOOTSTRAP := $(VENV)-bootstrap
SETS := tests-core tests-stores tests-clients tests-httpx2 tests-crowds tests-exploration

.DELETE_ON_ERROR:
.PHONY: help demo test lint types matrix docs bench soak mutants clean tests $(SETS)

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(VENV)/.stamp-run
	@$(BIN)/python examples/quickstart.py

test:
	@$(MAKE) --no-print-directory tests SETS="types lint $(SETS)"

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

# The last asks how much of what the package exports has a type that is declared; it fails below
# 100 %. It sees what the python on the path has installed.
types: $(VENV)/.stamp-dev
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/ty check
	@PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes httpx_cobo_auth --ignoreexternal \
	  > $(VENV)/verifytypes.txt || { cat $(VENV)/verifytypes.txt; exit 1; }
	@grep completeness $(VENV)/verifytypes.txt

# Many tests wait more than they compute, so three sets run side by side, the longest first. What
# runs without coverage would only take longer with it: the exploration, the crowds of threads and
# tasks, whole programs, and the second pass, over httpx2, of which tests/passes.py says what it
# leaves out, and why.
tests: $(VENV)/.stamp-dev
	rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory --jobs=3 $(SYNC) $(SETS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

CROWDS := $(addprefix tests/concurrency/test_,bursts.py clock_bursts.py interrupted.py \
  peer_table.py writes.py)
PROGRAMS := tests/examples tests/simulator/test_javascript_sdk.py $(addprefix tests/test_, \
  architecture.py docs.py packaging.py secrets.py site.py soak.py)

CLIENTS := tests/cli tests/concurrency tests/simulator tests/testing_kit tests/traps

tests-core:
	$(BIN)/coverage run -m pytest -q \
	  $(addprefix --ignore=,tests/stores tests/exploration $(CLIENTS) $(PROGRAMS))

tests-clients:
	$(BIN)/coverage run -m pytest -q $(CLIENTS) $(addprefix --ignore=,$(CROWDS) $(PROGRAMS))

tests-crowds:
	$(BIN)/python -m pytest -q $(CROWDS) $(PROGRAMS)

tests-stores:
	$(BIN)/coverage run -m pytest -q tests/stores

tests-exploration:
	$(BIN)/python -m pytest -q tests/exploration

tests-httpx2:
	HTTPX_FAMILY=httpx2 $(BIN)/python -m pytest -q

# CI=true makes a service that is not there a failure.
matrix: $(VENV)/.stamp-dev
	$(BIN)/nox $(NOX)

# Built anew each time: a warning about a page that is not read again would be missed. That it
# builds is also a test, tests/test_site.py.
docs: $(VENV)/.stamp-docs
	@rm -rf build/site
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --fresh-env \
	  --doctree-dir build/doctrees docs build/site
	@echo build/site/index.html

bench: $(VENV)/.stamp-dev
	@$(BIN)/python benchmarks/bench.py
	@$(BIN)/python benchmarks/renewals.py
	@$(BIN)/python benchmarks/stores.py

TIMES ?= 60
fuzz: $(VENV)/.stamp-dev
	COBO_FUZZ=$(TIMES) $(BIN)/python -m pytest -q -m hypothesis

MINUTES ?= 10
soak: $(VENV)/.stamp-dev
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) $(SOAK)

# Goes on where it was stopped. CI=true is for Hypothesis: a mutant leaves no examples behind.
MUTANTS :=
mutants: $(VENV)/.stamp-mutation
	PATH="$(CURDIR)/$(BIN):$$PATH" CI=true $(BIN)/mutmut run --max-children 2 $(foreach name,$(MUTANTS),'$(name)')
	@$(BIN)/mutmut results | grep -v ': caught by type check$$' || true

clean:
	rm -rf $(VENV) $(BOOTSTRAP) dist build mutants .coverage .coverage.* .hypothesis
	rm -rf .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment that is already there is used as it is. The first to be made decides which
# interpreter it has; `make clean` forgets it.
$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is not. Try: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; \
	  exit 1; }
	@test -x $(BIN)/python -a -x $(BIN)/pip \
	|| $(PYTHON) -m venv --clear $(VENV) \
	|| { echo "'$(PYTHON) -m venv' failed; trying virtualenv instead" >&2; rm -rf $(VENV); \
	  $(PYTHON) -m pip install --quiet --target $(BOOTSTRAP) virtualenv \
	  && PYTHONPATH=$(BOOTSTRAP) $(PYTHON) -m virtualenv --quiet $(VENV); } \
	|| { echo "No virtual environment can be made. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	  exit 1; }
	@touch $@

$(VENV)/.stamp-run: pyproject.toml | $(VENV)/.stamp-venv
	$(PIP) install --editable .
	@touch $@

# pip knows dependency groups since 25.1.
$(VENV)/.stamp-docs: pyproject.toml | $(VENV)/.stamp-venv
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --editable '.[all]' --group docs
	@touch $@ $(VENV)/.stamp-run

$(VENV)/.stamp-dev: pyproject.toml | $(VENV)/.stamp-venv
	$(PIP) install --upgrade 'pip>=25.1'
	$(PIP) install --editable '.[all]' --group dev
	$(PIP) install --upgrade --no-deps --target $(VENV)/apart --group tests-apart
	@touch $@ $(VENV)/.stamp-run $(VENV)/.stamp-docs

$(VENV)/.stamp-mutation: pyproject.toml $(VENV)/.stamp-dev
	$(PIP) install --group mutation
	@touch $@
