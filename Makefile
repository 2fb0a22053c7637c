.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Builds use the pinned setuptools of the environment: isolated ones would fetch another, without a hash
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --no-annotate
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.PHONY: help setup repro preset app test browser clouds lint bench reproducibility fuzz chaos lock audit

help: ## Show these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: $(READY) ## Make the virtual environment .venv with every pinned package

$(READY): requirements-setup.txt requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "afterimage needs Python 3.11 or 3.12, and $(PYTHON) is $$($(PYTHON) --version); try make setup PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements-setup.txt
	$(INSTALL) --require-hashes -r requirements.txt
	$(INSTALL) --no-deps --editable .
	@touch $@

repro: setup ## Rebuild everything that is out of date and print the results
	PATH="$(CURDIR)/$(BIN):$$PATH" dvc repro
	@$(BIN)/afterimage rows --best

app: setup ## Open the web page on this machine: http://127.0.0.1:8501
	$(BIN)/afterimage app

preset: setup ## List the presets, or set one up: make preset NAME=pretrained
	@$(BIN)/afterimage preset $(NAME)

test: setup ## Run the tests
	PATH="$(CURDIR)/$(BIN):$$PATH" pytest

browser: setup ## Find or install the browser that the tests of the web page need
	@which chromium || which chromium-browser || which google-chrome || \
		if command -v apt-get >/dev/null; then $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium; \
		else echo "there is no Chromium and no apt-get here: install Chromium by other means"; exit 1; fi

clouds: setup ## Install what remotes on Google's and Azure's clouds need
	$(INSTALL) --require-hashes -r requirements-clouds.txt

lint: setup ## Check style, types and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

bench: setup ## Measure against the limits, keep it in benchmarks/results.json, and say what changed
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks

reproducibility: setup ## Force the pipeline twice and compare every result bit for bit
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m benchmarks.reproducibility

fuzz: setup ## Read thousands of damaged and hostile inputs: make fuzz INPUTS=20000 SEED=1
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m campaigns.fuzz --inputs $(or $(INPUTS),2000) $(if $(SEED),--seed $(SEED))

chaos: setup ## Kill stages at random moments, fill disks, flip bytes: make chaos KILLS=20 SEED=1
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m campaigns.chaos --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED))

lock: ## Pin every new package in requirements*.txt, with hashes; LOCK=--upgrade raises the pinned ones too
	$(COMPILE) $(LOCK) --extra s3 --extra ssh --group dev pyproject.toml --output-file requirements.txt
	$(COMPILE) $(LOCK) --extra gs --extra azure pyproject.toml --constraint requirements.txt --output-file requirements-clouds.txt
	$(COMPILE) $(LOCK) --group setup --constraint requirements.txt --output-file requirements-setup.txt

audit: setup ## Look up known vulnerabilities of the pinned packages; needs a network
	@PATH="$(CURDIR)/$(BIN):$$PATH" .ci/audit
