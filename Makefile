# Every command for developers. Installation happens by itself and once.
PYTHON ?= python3
BASE ?= main
PRESET ?=
BIN := .venv/bin
READY := .venv/.ready
# uv installs the lock in parallel and links files instead of copying them.
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
PULLED := .dvc/tmp/pulled
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help setup repro serve site node packages test browser fuzz docs lint types bench bench-serve format gate release lock

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# Debian ships Python without ensurepip: as root its package is installed, otherwise the line to run is printed.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	  || { echo "Python 3.11 to 3.13 is needed, $$($(PYTHON) -V) was found; name another: make PYTHON=python3.12 …"; exit 1; }
	@test -x $(BIN)/pip || { rm -rf .venv; $(PYTHON) -m venv .venv 2>/dev/null; } || { \
	  test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null \
	  && rm -rf .venv && $(PYTHON) -m venv .venv; } \
	  || { echo "this Python has no venv module; install it (Debian: apt-get install python3-venv) and run make again"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep '^uv==' requirements.lock)"
	@$(UV) --requirement requirements.lock || { echo "uv could not install; trying pip, which may know another index"; \
	  $(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock; }
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(PULLED): $(READY) data.dvc $(wildcard models/pretrained/*.dvc)
	@test -e .git || dvc config --local core.no_scm true  # an archive of the repository, without its history
	dvc pull --quiet data.dvc $(wildcard models/pretrained/*.dvc)
	@mkdir -p $(@D) && touch $@

setup: $(READY) $(PULLED)  ## install into .venv, fetch the sample data and the released weights

repro: $(READY) $(PULLED)  ## run the pipeline, print the metrics; PRESET=NAME runs a preset of presets/
	$(if $(PRESET),dvc exp run $$(python -m refocal.stages.preset $(PRESET)),dvc repro)
	@python -m refocal.evaluation.report metrics.json
	@echo "Pictures: pictures/   curves: dvc plots show   model: models/refocal.onnx"
	@echo "metrics.json and dvc.lock differ in their last digits from one CPU to another; make gate compares them within tolerances"

serve: $(READY) $(PULLED)  ## serve the page and the API on 127.0.0.1:3000
	bentoml serve refocal.serving.service:Refocal --host 127.0.0.1 --port 3000

# What the browser needs to refocus comes from npm, in the versions of web/package-lock.json.
node:
	@command -v npm >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -y -qq --no-install-recommends npm >/dev/null; } \
	  || { echo "npm is needed (Debian: apt-get install npm)"; exit 1; }

web/node_modules/.ready: web/package-lock.json | node
	npm ci --prefix web --silent
	@touch $@

site: $(READY) $(PULLED) web/node_modules/.ready  ## write the page that refocuses in the browser to public/, for any static host
	python -m refocal.serving.site public

# The tests of the page drive Chromium; without it they are skipped.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; } \
	  || echo "no Chromium (Debian: apt-get install chromium): the tests of the page are skipped"

# The tests of the static site want npm's packages; without npm they are skipped.
packages:
	@$(MAKE) --no-print-directory web/node_modules/.ready || echo "no npm: the tests of the static site are skipped"

docs: $(READY)  ## the documentation as a site in site/; a broken link fails
	NO_MKDOCS_2_WARNING=1 mkdocs build --quiet --strict
	@echo "The site: site/index.html"

test: $(READY) $(PULLED) browser packages lint types  ## run lint, types and all tests, with coverage
	pytest --numprocesses 2 --cov --cov-report=term

fuzz: $(READY)  ## damage files, archives and jobs 5,000 times each: a quarter of an hour
	REFOCAL_FUZZ=5000 pytest -q tests/images/test_fuzz.py tests/serving/jobs/test_fuzz.py

lint: $(READY)  ## check rules and format with ruff
	ruff check .
	ruff format --check .

types: $(READY)  ## check types with mypy, strict on src
	mypy

format: $(READY)  ## format, and fix what ruff can fix
	ruff format .
	ruff check --fix .

bench: $(READY) $(PULLED)  ## measure every speed of docs/performance.md: half an hour
	python benchmarks/shiftadd.py
	python benchmarks/lightfields.py
	python benchmarks/disparity.py
	python benchmarks/brackets.py --large 20
	python benchmarks/density.py
	python benchmarks/views.py
	python benchmarks/training.py
	python benchmarks/on_the_fly.py
	python benchmarks/inference.py
	python benchmarks/startup.py
	python benchmarks/batch.py
	python benchmarks/growth.py --out growth.png

bench-serve: $(READY) $(PULLED)  ## load the service: requests per second and latencies beside the bare Refocuser
	python benchmarks/serving.py
	python benchmarks/servers.py --rate
	python benchmarks/servers.py

gate: $(READY)  ## fail where the metrics are worse than on revision BASE (default main), or dvc.lock is stale
	python -m refocal.stages.gate --base $(BASE)

release: $(READY)  ## write models/generator.pt to models/pretrained/, in 16 bits
	python -m refocal.stages.release

lock: $(READY)  ## resolve requirements.lock from pyproject.toml again
	uv pip compile --universal --python-version 3.11 --extra pipeline --extra serve --extra depth --extra heif --extra ray --extra s3 --extra dev --extra docs --no-emit-index-url --no-emit-find-links --no-header --no-annotate pyproject.toml --output-file requirements.lock
