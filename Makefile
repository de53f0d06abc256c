# Bare `make` lists the targets.
VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?= python3
RUN ?= runs/demo
TOYS ?= runs/toy-world
JOBS ?= 2

# Hundreds of processes import the package: it is compiled once, whatever images of containers say.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types imports bench docs clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/base.done  ## build small benchmarks, evaluate toy models on one, with pages to look at
	$(VENV)/bin/covar-gen run demo --run $(RUN) --processes $(JOBS)
	$(VENV)/bin/covar-gen gallery $(RUN)
	$(VENV)/bin/covar-gen run toy-world --run $(TOYS) --processes $(JOBS)
	$(VENV)/bin/covar-gen evaluate $(TOYS) --models toy --out $(TOYS)/evaluation --processes $(JOBS)
	$(VENV)/bin/covar-gen report $(TOYS)/evaluation
	@echo "next: your own photographs: docs/how-to/own-photographs.md   your own models: docs/how-to/evaluate.md"

test: check  ## everything that CI runs: make check, then the tests
	$(PY) -m pytest -n $(JOBS)

check: lint types imports  ## style, types and the direction of imports

lint: $(VENV)/dev.done
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

types: $(VENV)/dev.done
	$(VENV)/bin/mypy

imports: $(VENV)/dev.done
	$(VENV)/bin/lint-imports

bench: $(VENV)/bench.done  ## the timings of docs/benchmarks.md, as ratios measured side by side
	$(PY) -m pytest tests/benchmarks -o addopts="" -p no:randomly -q -s

docs: $(VENV)/dev.done  ## write docs/reference anew from the code, and the site into build/site
	$(PY) docs/generate.py
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet -f docs/site/mkdocs.yml
	@echo "open build/site/index.html"

clean:  ## remove what the other targets made
	rm -rf $(VENV) build runs .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/base.done: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/pip install -q -c constraints.txt -e '.[evaluate]'
	@touch $@

$(VENV)/dev.done: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/base.done

$(VENV)/bench.done: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(VENV)/bin/pip install -q -c constraints.txt -e '.[bench,dev]'
	@touch $@ $(VENV)/base.done $(VENV)/dev.done
