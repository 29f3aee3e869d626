# ArchBERT. `make` alone lists the targets.
# VENV=<folder> uses an environment that exists already; PYTHON=<interpreter> is what a new one is made with.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PY := $(BIN)/python
JOBS ?= 2
ZOO_VENV ?= .zoo-env
DATA ?= data/autonet
TVHF ?= data/tvhf
TRAIN_ARCHITECTURES ?= 2000
VALIDATION_ARCHITECTURES ?= 300
TEST_ARCHITECTURES ?= 200
FULL_DATA ?= data/autonet-full
SEED ?= 0
TIME_BUDGET ?= 1800
PUBLISH ?= --dry-run
FUZZ_SECONDS ?= 3600
API_EXAMPLES ?= 200
VERSIONS ?= --write
FRESH ?= remote package
INDEX_CACHE ?= $(HOME)/.cache/archbert/known

# Large blocks are kept instead of being given back to the system between steps: 1.6 to 2.1 times faster on CPU
# with glibc, for 2 to 4.5 GB of memory.
MALLOC := MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_TOP_PAD_=268435456

export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

.DEFAULT_GOAL := help
.PHONY: help venv index demo space test test-browser fuzz faults invariance versions fresh audit lint typecheck data autonet autonet-release tvhf tvhf-floors pretrain train zoo zoo-env reproduce release dist publish clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(VENV)/.archbert ## create the environment with the tested versions (done once)

# torch comes first and alone: what depends on it must not choose another one.
$(VENV)/.archbert: setup.py constraints.txt
# An environment of the user's own (VENV=...) is used as it is.
	@if [ "$(VENV)" = .venv ] || [ ! -x $(PY) ]; then set -ex; \
		test -x $(PY) || $(PYTHON) -m venv $(VENV); \
		$(PY) -m pip install --quiet --upgrade pip setuptools wheel; \
		$(PY) -m pip install --quiet -c constraints.txt torch; \
		$(PY) -m pip install --quiet -c constraints.txt --no-build-isolation -e ".[data,demo,dev]"; \
	fi
	@touch $@

demo: venv ## trace four networks of transformers at full size and ask the checkpoint about them
	$(PY) -m archbert.demo

space: venv ## start the demo page (examples/space); SPACE="--port 8000"
	$(PY) examples/space/app.py $(SPACE)

test: venv ## run the tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS)

test-browser: venv ## run the tests of the demo page in headless Chromium (CHROMIUM=<its path>)
	ARCHBERT_BROWSER=1 OMP_NUM_THREADS=1 $(PY) -m pytest tests/browser

fuzz: venv ## read damaged and hostile input, guided by coverage, for FUZZ_SECONDS in all (FUZZ="--target onnx --keep")
	$(PY) tests/fuzz/guided.py --seconds $(FUZZ_SECONDS) --jobs $(JOBS) $(FUZZ)
	ARCHBERT_API_EXAMPLES=$(API_EXAMPLES) OMP_NUM_THREADS=1 $(PY) -m pytest -q tests/test_space_api.py

faults: venv ## kill trainings and builds at 50 random moments each; publish 200 times to a Hub that breaks down (goes on)
	OMP_NUM_THREADS=1 $(PY) tests/faults/kill_training.py --json benchmarks/results/faults-training.json
	OMP_NUM_THREADS=1 $(PY) tests/faults/kill_builds.py --json benchmarks/results/faults-builds.json
	$(PY) tests/faults/break_publishing.py --json benchmarks/results/faults-publishing.json

invariance: venv ## compare answers over 500 networks: precision, attention, folding, batch, GPU
	OMP_NUM_THREADS=1 $(PY) benchmarks/invariance.py --output benchmarks/results/invariance.json

versions: venv ## compare answers with the oldest and newest libraries (VERSIONS="oldest --quick"; default: all, documented)
	OMP_NUM_THREADS=1 $(PY) tests/versions/run.py $(VERSIONS)

fresh: venv ## publish to a Hub on this machine, and use all of it where this repository is not, also offline
	OMP_NUM_THREADS=1 $(PY) tests/fresh/run.py $(FRESH)

audit: venv ## list every dependency with version and licence; find what is unpinned or unused (AUDIT=--index: withdrawn)
	$(PY) tools/audit_dependencies.py $(AUDIT) --json benchmarks/results/dependencies.json

lint: venv ## check style with ruff
	$(PY) -m ruff check .

typecheck: venv ## check types with mypy
	$(PY) -m mypy processing_archbert modeling_archbert archbert examples dataset_scripts
	$(PY) -m mypy metrics

data: venv ## generate the first networks of AutoNet into DATA (TRAIN_, VALIDATION_, TEST_ARCHITECTURES); goes on
	$(PY) -m dataset_scripts.autonet.generate_autonet --out $(DATA) --num_train $(TRAIN_ARCHITECTURES) \
		--num_validation $(VALIDATION_ARCHITECTURES) --num_test $(TEST_ARCHITECTURES) --seed $(SEED) --num_proc $(JOBS)

autonet: venv ## generate all of AutoNet into FULL_DATA (an hour on two cores; goes on) and check it against its manifest
	$(PY) -m dataset_scripts.autonet.generate_autonet --out $(FULL_DATA) --num_train 20000 --num_validation 2000 \
		--num_test 1000 --seed 0 --num_proc $(JOBS)
	@test ! -f dataset_scripts/autonet/manifest.json || \
		$(PY) -m dataset_scripts.autonet.generate_autonet --out $(FULL_DATA) --verify

autonet-release: venv ## sample, plots, Croissant and card of FULL_DATA, into hub/datasets/autonet
	$(PY) -m dataset_scripts.autonet.release_autonet --data $(FULL_DATA)

tvhf: venv ## trace the networks of the registry (minutes; resumes; make zoo-env first) and build hub/datasets/tvhf
	$(PY) -m dataset_scripts.tvhf.build_architectures --out $(TVHF) --num_proc $(JOBS) --zoo_python $(ZOO_VENV)/bin/python
	$(PY) -m dataset_scripts.tvhf.build_tvhf --data $(TVHF)

tvhf-floors: venv ## floors of hub/datasets/tvhf, into benchmarks/results/tvhf_floors.json
	$(PY) -m dataset_scripts.tvhf.floors_tvhf --data hub/datasets/tvhf --out benchmarks/results/tvhf_floors.json \
		--packages $(wildcard $(ZOO_VENV)/lib/python3*/site-packages)

index: venv ## trace and embed every named network into hub/index (INDEX="--no_trace": embed again; make zoo-env first)
	$(PY) -m archbert.known_index --cache $(INDEX_CACHE) --zoo_python $(ZOO_VENV)/bin/python --jobs $(JOBS) $(INDEX)

pretrain: venv ## pre-train (similarity + masked architecture modeling) for TIME_BUDGET seconds
	$(MALLOC) $(BIN)/accelerate launch examples/run_pretraining.py --data $(DATA) --time_budget $(TIME_BUDGET) \
		--seed $(SEED) --output_dir runs/pretraining-$(SEED)

train: venv ## train question answering for TIME_BUDGET seconds
	$(MALLOC) $(BIN)/accelerate launch examples/run_aqa.py --data $(DATA) --time_budget $(TIME_BUDGET) \
		--seed $(SEED) --output_dir runs/aqa-$(SEED)

zoo: venv ## evaluate runs/aqa-SEED on 60 real networks
	$(BIN)/accelerate launch examples/run_aqa.py --data $(DATA) --max_steps 0 --eval_on zoo \
		--init_from runs/aqa-$(SEED) --output_dir runs/aqa-$(SEED)-zoo

zoo-env: ## create ZOO_VENV, an environment beside the first with torchvision and timm (CPU torch), for the sweeps
	test -x $(ZOO_VENV)/bin/python || $(PYTHON) -m venv $(ZOO_VENV)
	$(ZOO_VENV)/bin/python -m pip install --quiet --upgrade pip setuptools wheel
	$(ZOO_VENV)/bin/python -m pip install --quiet -c constraints.txt torch
	$(ZOO_VENV)/bin/python -m pip install --quiet -c constraints.txt --no-build-isolation -e ".[dev]" pillow
# Both want a torchvision that may bring another torch, so nothing that they depend on is chosen by them.
	$(ZOO_VENV)/bin/python -m pip install --quiet --no-deps torchvision==0.28.0 timm==1.0.31
	$(ZOO_VENV)/bin/python tools/torchvision_schemas.py
	$(ZOO_VENV)/bin/python -c "import timm, torchvision; from transformers import AutoProcessor, pipeline"

reproduce: venv ## print the tables of docs/paper.md from stored results (RUN=1: make the runs that are not stored yet)
	@test -z "$(RUN)" || $(MALLOC) $(PY) examples/run_paper_tables.py --threads 1 --seeds 0,1,2
	@test -z "$(RUN)" || $(MALLOC) $(PY) examples/run_paper_ablations.py --threads 1 --seeds 0,1,2 \
		$(if $(wildcard $(FULL_DATA)),--data $(FULL_DATA))
	@$(PY) examples/paper_tables.py

release: venv ## move weights, configs, tokenizer and card of a trained model into hub/models
	$(PY) -m archbert.release

dist: venv ## build the wheel into dist and check its metadata
	$(PY) -m pip wheel --quiet --no-deps --no-build-isolation -w dist .
	$(PY) -m twine check --strict dist/*.whl

publish: venv ## show what an upload to the Hub would change (PUBLISH= uploads it; PUBLISH="--models archbert-mini")
	$(PY) -m archbert.publish $(PUBLISH)

clean: ## remove caches and build products (not data, runs or the environment)
	rm -rf build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
