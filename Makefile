# Everything runs from .venv, which `make` builds by itself.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# `make bench ONLY=demo-dispatch,other` runs some benches; PYTEST_ARGS passes options to pytest.
ONLY ?=
PYTEST_ARGS ?=
# Processes that share the tests out: most tests wait. 0: all in this one.
JOBS ?= 3
DEMO_ARGS ?=
SECRETS_ARGS ?=
TAG ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench dashboards-preview clean up down secrets update-workers e2e converge

help: ## list the commands
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## run a whole site on this machine: 24 jobs, faults included (under 90 s)
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec $(BIN)/python -m demo --end-with $$PPID $(DEMO_ARGS)

test: lint ## run the linters and every test, whole sites in containers included
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(JOBS) -m 'not long' $(PYTEST_ARGS)

lint: $(STAMP) ## ruff, mypy --strict, shellcheck, yamllint, ansible-lint, hadolint
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@git ls-files -z --cached --others --exclude-standard '*.sh' '.ci/run' | xargs -0 -r $(BIN)/shellcheck
	@$(BIN)/yamllint --strict .
	@cd ansible && PATH="$(CURDIR)/$(BIN):$$PATH" ansible-lint -q --strict
	@git ls-files -z --cached --others --exclude-standard '*Dockerfile' | xargs -0 -r $(BIN)/hadolint

bench: $(STAMP) ## measure against the goals (ONLY=id,id); writes build/bench.json
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.bench --only '$(ONLY)'

dashboards-preview: $(STAMP) ## draw the Grafana dashboards without Grafana, from a real run
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.support.dashboards_preview

up: ## bring a site up with docker compose (docs/howto-site.md)
	@$(PYTHON) -m compose.manage up

down: ## stop it; what is stored is kept
	@$(PYTHON) -m compose.manage down

secrets: ## write the passwords and broker users that are missing in secrets/
	@$(PYTHON) -m compose.manage secrets $(SECRETS_ARGS)

update-workers: ## let new pilots run another version: TAG=1.2.3
	@$(PYTHON) -m compose.manage update-workers '$(TAG)'

e2e: $(STAMP) ## build the images here, without a registry, and run a whole site of them
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 tests/integration/images tests/e2e/test_compose*.py $(PYTEST_ARGS)

converge: $(STAMP) ## roll sites of three hosts out with Ansible, in containers
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest tests/ansible/test_con*.py $(PYTEST_ARGS)

clean: ## remove .venv and everything built
	rm -rf $(VENV) build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# An editable install in "compat" mode is a plain path entry: the condor
# commands then start as fast as installed ones (no import hook).
$(STAMP): setup.cfg pyproject.toml tests/constraints.txt images/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python 3.11 or newer is needed; name it with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "make: this Python cannot make a venv; on Debian: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --upgrade pip setuptools
	@$(BIN)/python -m pip install -qq -c tests/constraints.txt --config-settings editable_mode=compat -e '.[node,worker,vobox,dev]'
	@touch $@
