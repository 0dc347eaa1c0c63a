# Every target makes .venv first where it is missing: Python 3.11 or newer with venv, git and make are all that is needed.
PYTHON ?= python3
# PYTHON, JOBS (stages at once) and RAW (folder of raw images) may be given on the command line
BIN := $(CURDIR)/.venv/bin
READY := .venv/ready
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup repro smoke sample test checks unit pipeline notebooks lint lab bench clean

help:  ## these lines
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## the environment in .venv, at the exact versions of requirements.lock (about 6 GB)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "venv is missing: apt install python3-venv, or set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

repro: $(READY)  ## rebuild every table and figure, JOBS= stages at once (what is cached and unchanged is not run again)
	python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS))

smoke: $(READY)  ## the whole study in miniature below build/smoke; it touches no parameter, lock or result of the study
	python -m regen_lib.study folder build/smoke --profile profiles/smoke.yaml
	cd build/smoke && python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS))

sample: $(READY)  ## the study in small on real ImageNet images: make sample RAW=folder (studies/imagenet_sample/params.yaml says of what)
	@test -d "$(RAW)" || { echo "RAW=$(RAW): name a folder with images/, classes.json and weights, see studies/imagenet_sample/params.yaml"; exit 1; }
	mkdir -p studies/imagenet_sample/data && ln -sfn "$(abspath $(RAW))" studies/imagenet_sample/data/raw
	cd studies/imagenet_sample && python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS)) filter_norms noise_masking real_images

test: $(READY)  ## lint, types, tests and all notebooks; beside them, on a second core, the whole smoke pipeline
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target checks pipeline

checks: $(READY)
	MAKEFLAGS= $(MAKE) --no-print-directory lint unit notebooks

unit: $(READY)  ## tests alone
	python -m pytest -m "not pipeline"

pipeline: $(READY)  ## every stage on the smoke profile, twice
	python -m pytest -m pipeline

notebooks: $(READY)  ## every notebook in order under nbval, on the smoke profile
	rm -rf build/notebooks
	python -m pytest --nbval-lax --nbval-current-env --nbval-cell-timeout=600 -p no:cacheprovider notebooks

lint: $(READY)  ## ruff and mypy
	ruff format --check regen_lib tests benchmarks
	ruff check regen_lib tests benchmarks notebooks
	mypy

lab: $(READY)  ## JupyterLab on the notebooks
	jupyter lab --notebook-dir=.

bench: $(READY)  ## speed as ratios, memory at 20,000 JPEGs, what ImageNet would cost: into benchmarks/results and the README
	python -m benchmarks.speed
	python -m benchmarks.memory
	python -m benchmarks.cost
	if python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then python -m benchmarks.walks_gpu && python -m benchmarks.loops_gpu; fi
	python -m benchmarks.sheets

clean:  ## remove what the tests and stages left in build/ (results and caches stay)
	rm -rf build
