# Everything a newcomer needs; `make` alone lists it. Needs make, Python 3.10 to 3.14 and a package index.
# Another Python than `python3`: make setup PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.byline-installed
SAMPLE := out/sample
TRAINERS := .venv-trainers
TRAINERS_STAMP := $(TRAINERS)/.byline-installed
LAB := .venv-lab
LAB_STAMP := $(LAB)/.byline-installed
SHARDS := out/quickstart/shards

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-clusters test-trainers test-lab setup-lab bench soak lint clean check-python spark-up spark-down flink-up flink-down

help:
	@echo 'make demo    a whole build on a small corpus made here: shards, a check of every count, a sequence in colour'
	@echo 'make test    style, types and tests; with ALL=1 three times the drawn and listed cases, as in continuous integration'
	@echo 'make lint    style and types alone'
	@echo 'make test-clusters   tests on a Spark and a Flink cluster of processes on this machine; needs Java 17 and Maven'
	@echo 'make test-trainers   tests of trainers on builds made here; needs 2.5 GB for them in $(TRAINERS), and Python 3.11 to 3.13'
	@echo 'make setup-lab   an environment in $(LAB) for `byline lab` (docs/lab.md): what $(VENV) has, PyTorch and matplotlib; 2.4 GB'
	@echo 'make test-lab    tests of the laboratory, and a smoke run of each of its studies'
	@echo 'make bench   how fast builds are, against a plain loop and other tools, on SIZE=200MB or CORPUS=folder (docs/performance.md)'
	@echo 'make soak    random builds with random faults for MINUTES=30, from SEED=1; each has to end in the same bytes'
	@echo 'make spark-up, spark-down, flink-up, flink-down   such a cluster for builds of your own (docs/clusters.md)'
	@echo 'make setup   a virtual environment in $(VENV) with all that the others need (they call it)'
	@echo 'make clean   removes what these made: $(VENV), $(TRAINERS), $(LAB), $(SAMPLE), out/quickstart, out/clusters, out/trainers, out/lab-smoke, out/bench, caches'

setup: $(STAMP)

# The stamp is older than these files when one of them has changed, and is gone when $(VENV) is.
$(STAMP): requirements.txt pyproject.toml
	@$(MAKE) --no-print-directory check-python
	@printf '\n== Setting up %s (about a minute; again only when requirements.txt or pyproject.toml change)\n' '$(VENV)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

check-python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo 'make: there is no $(PYTHON); install Python (Debian, Ubuntu: apt-get install python3 python3-venv), or name' \
	    'yours: make setup PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 15))' || { \
	  echo "make: needs Python 3.10 to 3.14, and $(PYTHON) is $$($(PYTHON) --version 2>&1); install another (Debian," \
	    'Ubuntu: apt-get install python3.12 python3.12-venv) and name it: make setup PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: $(PYTHON) cannot make virtual environments; install that part of it (Debian, Ubuntu: apt-get install" \
	    "$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'))" >&2; exit 1; }

demo: setup
	@printf '\n== A small corpus in the three published layouts, a tokenizer and a quality classifier\n'
	$(BIN)/byline sample $(SAMPLE)
	@printf '\n== Raw text to shards: the best 70 %% by quality, 90 %% of the tokens with the host before each document\n'
	$(BIN)/byline build configs/quickstart.yaml
	@printf '\n== Every invariant, checksum and ledger line, counted again from the files\n'
	$(BIN)/byline verify $(SHARDS)
	@printf '\n== The first sequence\n'
	$(BIN)/byline inspect $(SHARDS) --row 0 --color
	@printf '\n== What to do next\n'
	@echo '  source $(BIN)/activate'
	@echo '  python -c "import byline; print(byline.open(\"$(SHARDS)\")[0])"       a row as a trainer reads it'
	@echo '  byline prompt $(SHARDS) host=numpy.example "An array is"            a prompt as in training'
	@echo '  byline build configs/quickstart.yaml --set sequence.packing=best_fit --set output=out/quickstart/best_fit'
	@echo '      another recipe from the same token store: only its shards are made'
	@echo '  configs/meco.yaml is the recipe for the real corpus; README.md goes on from here.'

test: lint
	@printf '\n== Tests\n'
	BYLINE_TEST_ALL=$(ALL) $(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: setup
	@printf '\n== Style and types\n'
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

# Only marked tests, which `make test` leaves out.
test-clusters: setup
	@printf '\n== Tests on a Spark and a Flink cluster\n'
	$(BIN)/python -m pytest -m cluster tests/clusters

# A root of pytest of its own, as the trainers are in an environment of their own.
test-trainers: setup $(TRAINERS_STAMP)
	@printf '\n== Small builds, and tests of trainers on them\n'
	$(BIN)/python -m tests.trainers.builds out/trainers
	PYTHONDONTWRITEBYTECODE= $(TRAINERS)/bin/python -m pytest -c tests/trainers/pytest.ini --numprocesses 2 --dist loadfile tests/trainers

# Most of what is installed is never imported, so each module is compiled when it is.
$(TRAINERS_STAMP): requirements-trainers.txt pyproject.toml tests/support/without_gpus.py
	@printf '\n== Setting up %s (minutes; again only when what it is made of changes)\n' '$(TRAINERS)'
	$(PYTHON) -m venv $(TRAINERS)
	$(TRAINERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --requirement requirements-trainers.txt
	$(TRAINERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(TRAINERS)/bin/python -m tests.support.without_gpus
	@touch $@

setup-lab: $(LAB_STAMP)

test-lab: $(LAB_STAMP)
	@printf '\n== Tests of the laboratory\n'
	$(LAB)/bin/python -m pytest -c tests/lab/pytest.ini --numprocesses 2 --dist loadfile tests/lab
	@printf '\n== A smoke run of each study\n'
	rm -rf out/lab-smoke
	for study in meco grokking mixtures; do $(LAB)/bin/byline lab $$study --smoke --output out/lab-smoke/$$study || exit 1; done

# PyTorch without what only GPUs need, as for the trainers.
$(LAB_STAMP): requirements.txt requirements-lab.txt pyproject.toml tests/support/without_gpus.py
	@$(MAKE) --no-print-directory check-python
	@printf '\n== Setting up %s (again only when what it is made of changes)\n' '$(LAB)'
	$(PYTHON) -m venv $(LAB)
	$(LAB)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	$(LAB)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --requirement requirements-lab.txt
	$(LAB)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(LAB)/bin/python -m tests.support.without_gpus
	@touch $@

# More options in BENCH, as in BENCH='--rounds 3 --peers'.
bench: setup
	@printf '\n== Whole builds, in turns\n'
	$(BIN)/python -m benchmarks.throughput --size $(or $(SIZE),200MB) $(if $(CORPUS),--corpus '$(CORPUS)') \
	  $(if $(TOKENIZER),--tokenizer '$(TOKENIZER)') --out $(or $(OUT),out/bench) $(BENCH)

soak: setup
	@printf '\n== Random builds with random faults\n'
	$(BIN)/python -m benchmarks.soak --minutes $(or $(MINUTES),30) --seed $(or $(SEED),1)

spark-up flink-up: setup
	@$(BIN)/python docker/cluster.py up $(@:-up=)

spark-down flink-down:
	@$(PYTHON) docker/cluster.py down $(@:-down=)

clean: spark-down flink-down
	rm -rf $(VENV) $(TRAINERS) $(LAB) $(SAMPLE) out/quickstart out/clusters out/trainers out/lab-smoke out/bench build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
