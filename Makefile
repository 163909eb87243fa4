# One word for each task: `make` lists them. The commands run in .venv, which `make setup` makes.
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)
.DEFAULT_GOAL := help
.PHONY: help setup test test-all lint format types notebooks figures site clean

help: ## list the tasks
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

setup: ## make .venv, and install the course with everything that its tests need
	python3 -m venv .venv
	$(BIN)/python -m pip install -r requirements-dev.txt

test: ## run the quick tests
	$(BIN)/pytest -m quick

test-all: ## run every test: notebooks, browser and site too
	$(BIN)/pytest

lint: ## check style, format and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell

format: ## sort imports, mend what the linter can, and format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: ## check the types of the package
	$(BIN)/mypy

notebooks: ## run the notebooks and write their outputs
	$(BIN)/python -m tests.refresh_notebooks

figures: ## draw the figures of the README and of docs/measurements.md
	$(BIN)/python -m figures

site: ## build the static site in docs/_build
	$(BIN)/python -m docs

clean: ## delete what the other tasks leave behind, but not .venv
	rm -rf docs/_build build dist *.egg-info mutants test-results .coverage* .pytest_cache .ruff_cache .mypy_cache .hypothesis
