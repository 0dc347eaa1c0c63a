# Every target makes .venv first where it is missing: Python 3.11 or newer with venv, git and make are all that is needed.
PYTHON ?= python3
# PYTHON, JOBS (stages at once), RAW (folder of raw images), SEEDS, STUDY and CPU_INDEX may be given on the command line.
# CPU_INDEX is the address of a package index with PyTorch's `+cpu` builds: from there torch comes without CUDA, 2 GB in all instead of 6
SEEDS ?= 1 2
STUDY ?= studies/cifar10
READY := .venv/ready
PIP := .venv/bin/python -m pip install --quiet --no-deps
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup lock repro quick smoke sample natural seeds photos pack unpack test checks unit pipeline faults notebooks record outputs lint lab docs bench clean

# $(call linked,LINK,WHAT): make LINK one to the folder RAW=, which has WHAT; a real folder stays as it is, `ln` would put the link into it
define linked
@test -d "$(RAW)" || { echo "RAW=$(RAW): name a folder with $(2)"; exit 1; }
@test -L $(1) || test ! -e $(1) || { echo "$(1) is no link but a folder of its own: move it elsewhere, and give that as RAW="; exit 1; }
mkdir -p $(dir $(1)) && ln -sfn "$$(cd "$(RAW)" && pwd -P)" $(1)
endef

help:  ## these lines
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(READY)  ## the environment in .venv, at the exact versions of requirements.lock (about 6 GB)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: set PYTHON=..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo "venv is missing: apt install python3-venv, or set PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
ifdef CPU_INDEX
	sed -nE 's/^(torch|torchvision)==([^ ]+).*/\1==\2+cpu/p' requirements.lock | xargs $(PIP) --index-url "$(CPU_INDEX)"
	awk '/^[a-z]/ {other = !/^(torch|torchvision|triton|nvidia-[a-z0-9-]+|cuda-[a-z]+)[[=]/} other' requirements.lock > .venv/requirements.lock
	$(PIP) --require-hashes --requirement .venv/requirements.lock
else
	$(PIP) --require-hashes --requirement requirements.lock
endif
	$(PIP) --no-build-isolation --editable .
	.venv/bin/python -m pip check
	touch $@

lock:  ## requirements.lock anew from pyproject.toml, with hashes (UPGRADE=1: newer versions too)
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet uv
	build/uv/bin/uv pip compile --quiet pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-strip-extras --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) --output-file requirements.lock

repro: $(READY)  ## rebuild every table and figure, JOBS= stages at once (what is cached and unchanged is not run again)
	python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS))

quick: $(READY)  ## the method on one network in three minutes: notebooks/quickstart.ipynb, run and written to build/quickstart.html
	mkdir -p build
	python -m papermill --cwd notebooks --kernel python3 notebooks/quickstart.ipynb build/quickstart.ipynb
	python -m jupyter nbconvert --to html build/quickstart.ipynb

smoke: $(READY)  ## the whole study in miniature below build/smoke; it touches no parameter, lock or result of the study
	python -m regen_lib.study folder build/smoke --profile profiles/smoke.yaml
	cd build/smoke && python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS))

sample: $(READY)  ## the study in small on real ImageNet images: make sample RAW=folder (studies/imagenet_sample/params.yaml says of what)
	$(call linked,studies/imagenet_sample/data/raw,images/ and classes.json and weights: studies/imagenet_sample/params.yaml says which)
	cd studies/imagenet_sample && python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS)) filter_norms noise_masking real_images

natural: $(READY)  ## every defence on CIFAR-10 at the paper's xi: hours; in build/cifar10, or RAW=folder of JPEG copies: in studies/cifar10
ifdef RAW
	$(call linked,studies/cifar10/data/raw,cifar10/train/<class>/*.jpg and cifar10/test/<class>/*.jpg)
	cd studies/cifar10 && python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS))
else
	cd studies/cifar10 && python -m regen_lib.study folder ../../build/cifar10 --profile published.yaml
	cd build/cifar10 && python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS))
endif

seeds: $(READY)  ## the CIFAR-10 study, which has run, again with SEEDS= other seeds (1 2) in build/: is a verdict luck?
	for seed in $(SEEDS); do (cd studies/cifar10 && python -m regen_lib.study folder ../../build/seed$$seed --profile seeds.yaml --seed $$seed) \
		&& (cd build/seed$$seed && python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS)) comparison) || exit 1; done
	cd studies/cifar10 && python -m regen_lib.study seeds $(SEEDS:%=../../build/seed%) && python -m regen_lib.study report

photos: $(READY)  ## the published GoogLeNet on Imagenette, fetched (0.6 GB) or taken from RAW=folders, WEIGHTS=folder: docs/imagenet.md
	python -m regen_lib.study photos studies/imagenette $(if $(RAW),--raw "$(RAW)") $(if $(WEIGHTS),--weights "$(WEIGHTS)")
	cd studies/imagenette && python -m regen_lib.study repro $(if $(JOBS),--jobs $(JOBS))

pack: $(READY)  ## what the stages trained, with model cards and SHA-256, in one archive: build/pack.zip
	python -m regen_lib.study pack build/pack.zip

unpack: $(READY)  ## make unpack FILE=pack.zip: check the archive and put it in place, then the images; nothing is left to train
	@test -f "$(FILE)" || { echo "FILE=$(FILE): name the archive that make pack wrote"; exit 1; }
	python -m regen_lib.study unpack "$(FILE)"
	python -m regen_lib.study repro images

test: $(READY)  ## lint, types, tests and all notebooks; beside them, on a second core, the whole smoke pipeline
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target checks pipeline

checks: $(READY)
	MAKEFLAGS= $(MAKE) --no-print-directory lint unit notebooks

unit: $(READY)  ## tests alone
	python -m pytest -m "not pipeline"

pipeline: $(READY)  ## every stage on the smoke profile, twice
	python -m pytest -m pipeline

faults: $(READY)  ## damage, full disks, hostile files, limits: more than two thousand faults, and the table of what held (docs/faults.md)
	python -m tests.faults

# so that sums round alike on x86 processors from AVX2 on: what was recorded on one is to hold on the next
ALIKE := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_CBWR=AVX2

notebooks: $(READY)  ## every notebook in order under nbval, on the smoke profile; marked cells print what tests/notebooks has
	rm -rf build/notebooks
	$(ALIKE) python -m tests.recorded copies
	REGEN_STAGE=notebooks $(ALIKE) python -m pytest -p tests.recorded --nbval-lax --nbval-current-env --nbval-cell-timeout=600 \
		-p no:cacheprovider -rs tests/recorded.py build/[0-9]*.ipynb

record: $(READY)  ## tests/notebooks anew, after a change that changes results
	rm -rf build/notebooks
	REGEN_STAGE=notebooks $(ALIKE) python -m tests.recorded record

outputs: $(READY)  ## the executed notebooks' outputs of STUDY= (studies/cifar10; or quick) into those of notebooks/ that show it
ifeq ($(STUDY),quick)
	python -m regen_lib.study outputs --executed build --of quick
else
	cd $(STUDY) && python -m regen_lib.study outputs
endif

lint: $(READY)  ## ruff and mypy
	ruff format --check regen_lib tests benchmarks docs
	ruff check regen_lib tests benchmarks docs notebooks
	mypy

lab: $(READY)  ## JupyterLab on the notebooks
	python -m jupyter lab --notebook-dir=. $(if $(filter 0,$(shell id -u)),--allow-root)

docs: $(READY)  ## the site, from docs/, the notebooks and metrics/, into build/site (open build/site/index.html)
	python -m sphinx --quiet --fresh-env --fail-on-warning -c docs . build/site

bench: $(READY)  ## speed as ratios, memory at 20,000 JPEGs, what ImageNet would cost: into benchmarks/results and docs/
	python -m benchmarks.speed
	python -m benchmarks.memory
	python -m benchmarks.cost
	if python -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then python -m benchmarks.walks_gpu && python -m benchmarks.loops_gpu; fi
	python -m benchmarks.sheets

clean:  ## remove what tests and tools left in build/; studies made there, packs, half trainings, times, results and caches stay
	@for left in build/*; do case "$$left" in build/resume|build/usage|*.zip) ;; \
		*) test -n "$$(find "$$left" -name .dvc -print -quit 2>/dev/null)" || rm -rf "$$left" ;; esac; done
	rm -rf docs/api
