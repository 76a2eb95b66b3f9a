# make atlas   environment, then everything at scale quick; says at the end what the ledger says and where to look
# make test    environment, then the tests          make check   formatters, linters, types, floors
# make quicktest   those of them that take no time, as the last make test found: for the loop of editing
# make bench   speed against what one would write   make clean   removes all that these made
PYTHON ?= python3
TORCH ?= torch==2.13.0
# another pip than the one that comes with PYTHON: make env PIP=pip==22.3
PIP ?=
SNAKEMAKE_ARGS ?=
PYTEST_ARGS ?= -n 2

# Nothing is written outside this folder: a read-only home is fine.
export XDG_CACHE_HOME := $(CURDIR)/.cache
export MPLCONFIGDIR := $(CURDIR)/.cache/matplotlib
export IPYTHONDIR := $(CURDIR)/.cache/ipython
export JUPYTER_CONFIG_DIR := $(CURDIR)/.cache/jupyter
export JUPYTER_RUNTIME_DIR := $(CURDIR)/.cache/jupyter/runtime
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_WARN_SCRIPT_LOCATION := 1

BIN := .venv/bin
# bytecode is made at the end, by all cores, where pip uses one; some packages hold templates that are no Python
INSTALL := $(BIN)/python -m pip install --quiet --no-compile
READY := .venv/ready

.PHONY: atlas env test mutants quicktest coverage check format bench lock readme report clean

atlas: $(READY)
	$(BIN)/python -m snakemake $(SNAKEMAKE_ARGS)
	$(BIN)/python -m dynatlas ledger --brief
	@echo
	@echo "Figures: figures/   verdicts: results/quick/ledger.json   site: results/quick/site/index.html"

env: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dynatlas needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(if $(PIP),$(INSTALL) $(PIP))
	$(INSTALL) $(TORCH)
	$(INSTALL) --no-deps --require-hashes -r requirements.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check
	$(BIN)/python -m compileall -qq -j 0 .venv/lib || true
	touch $(READY)

test: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

mutants: $(READY)
	PYTHONPATH=src $(BIN)/python tests/support/mutants.py

quicktest: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS) --quick

coverage: $(READY)
	$(BIN)/python -m pytest $(PYTEST_ARGS) --cov --cov-report=term --cov-report=html

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m dynatlas schema --check
	$(BIN)/python -m dynatlas lock --check
	$(BIN)/python -m snakemake --lint

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

bench: $(READY)
	$(BIN)/python benchmarks/run_all.py

readme: atlas
	$(BIN)/python workflow/refresh_readme.py

report: $(READY)
	$(BIN)/python -m snakemake --report report.zip

# needs uv; writes exact versions with hashes for every Python and system that pyproject allows
lock:
	$(PYTHON) workflow/lock.py | uv pip compile - --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements.lock

clean:
	rm -rf .venv .cache .snakemake results logs report.zip .pytest_cache .mypy_cache .ruff_cache .import_linter_cache htmlcov .coverage src/*.egg-info
	find figures -mindepth 1 -not -name README.md -delete
