# Everything runs from .venv, which `make` builds by itself.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# `make bench ONLY=dispatch,latency` runs some benches; PYTEST_ARGS passes options to pytest.
ONLY ?=
PYTEST_ARGS ?=
export PYTEST_ARGS
# `make chaos N=1000 SEED=7` kills so often; the same seed chooses the same. BROKER=rabbitmq: over a
# RabbitMQ, which is killed, too. ENGINE=docker: so are pilots in containers, and their Docker.
N ?= 100
SEED ?=
BROKER ?=
ENGINE ?=
SECONDS ?=
# Processes that share the tests out: most tests wait. 0: all in this one.
JOBS ?= 3
DEMO_ARGS ?=
SECRETS_ARGS ?=
TAG ?=
# `make test SETUP=no` installs nothing: what cannot run without it is skipped.
SETUP ?= yes
# Also where the clone belongs to somebody else.
FILES := git -c safe.directory='*' ls-files -z --cached --others --exclude-standard

.DEFAULT_GOAL := help
.PHONY: help demo test announce setup lint bench model chaos busy-hour test-vm test-cluster clean up down secrets \
  update-workers e2e converge python-demo python-test

help: ## list the commands
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: python-demo ## run a whole site on this machine: 24 jobs, faults included (a minute or two)
	@PATH="$(CURDIR)/$(BIN):$$PATH" exec $(BIN)/python -m demo --end-with $$PPID $(DEMO_ARGS)

test: announce setup lint ## install what is missing, run the linters and every test
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(JOBS) -m 'not long' $(PYTEST_ARGS)

announce:
	@echo "make: 1. install what is missing; 2. the linters, about a minute; 3. all tests: on two" >&2
	@echo "make: cores about 25 minutes as root, 10 as another user. pytest tells how far it is." >&2

setup: python-test ## install what the tests need and this machine lacks (`make test` does it)
	@[ "$(SETUP)" = no ] || $(BIN)/python -m tests.setup

lint: python-test ## ruff, mypy --strict, shellcheck, yamllint, ansible-lint, hadolint
	@echo "make: linters" >&2
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(FILES) '*.sh' '.ci/run' | xargs -0 -r $(BIN)/shellcheck
	@$(BIN)/yamllint --strict .
	@cd ansible && PATH="$(CURDIR)/$(BIN):$$PATH" ansible-lint -q --strict
	@$(FILES) '*Dockerfile' | xargs -0 -r $(BIN)/hadolint

bench: python-test ## measure against the goals (ONLY=id,id); writes build/bench.json
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.bench --only '$(ONLY)'

model: python-test ## search the model of the job protocol, every configuration (half an hour)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 -m '' tests/model $(PYTEST_ARGS)

chaos: python-test ## kill processes of a site at random (N=100, SEED=..., BROKER=rabbitmq, ENGINE=docker)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.chaos.kills --kills '$(N)' \
	  $(if $(SEED),--seed '$(SEED)') $(if $(BROKER),--broker '$(BROKER)') \
	  $(if $(ENGINE),--engine '$(ENGINE)')

busy-hour: python-test ## run a busy site for SECONDS=3600: do memory, files, threads grow?
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.bench.busy_hour \
	  $(if $(SECONDS),--seconds '$(SECONDS)')

test-vm: python-test ## try a node in a virtual machine: systemd and control groups v2
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m '' tests/vm $(PYTEST_ARGS)

test-cluster: python-test ## break a broker of three while jobs run (half an hour)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -m '' tests/chaos/test_broker_cluster.py $(PYTEST_ARGS)

up: ## bring a site up with docker compose (docs/howto-site.md)
	@$(PYTHON) -m compose.manage up

down: ## stop it; what is stored is kept
	@$(PYTHON) -m compose.manage down

secrets: ## write the passwords and broker users that are missing in secrets/
	@$(PYTHON) -m compose.manage secrets $(SECRETS_ARGS)

update-workers: ## let new pilots run another version: TAG=1.2.3
	@$(PYTHON) -m compose.manage update-workers '$(TAG)'

e2e: python-test ## build the images here, without a registry, and run a whole site of them
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 2 tests/integration/images tests/e2e/test_compose*.py $(PYTEST_ARGS)

converge: python-test ## roll sites of three hosts out with Ansible, in containers
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest tests/ansible/test_con*.py $(PYTEST_ARGS)

clean: ## remove .venv and everything built
	rm -rf $(VENV) build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# What the demo needs, or what everything else needs, in .venv.
python-demo python-test: python-%:
	@command -v $(PYTHON) >/dev/null || \
	  { echo "make: there is no $(PYTHON); on Debian: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: Python 3.11 or newer is needed; name it with: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "make: this Python cannot make a venv; on Debian: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m tests.setup.environments '$(VENV)' $*
