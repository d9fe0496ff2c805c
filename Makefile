# joinlab: what a developer and CI type. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

topology ?= star
runtime ?= auto
leaves ?=
args ?=
PYTHON ?= python3

VENV := .venv
READY := $(VENV)/.ready
PYTEST := $(VENV)/bin/pytest
JOINLAB := $(VENV)/bin/joinlab
SCENARIOS := $(PYTEST) tests/scenarios --topology=$(topology) $(if $(leaves),--leaves=$(leaves)) $(args)

.PHONY: help
help: ## list the targets
	@echo 'make TARGET [topology=star] [leaves=4] [runtime=auto|docker|netns] [args="more for pytest"]'; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' Makefile
	@echo; echo '  First of all: make topology=star test'

.PHONY: test
test: options compiled ## run the scenarios on a topology (make topology=star leaves=16 runtime=netns test)
	@$(SCENARIOS) --runtime=$(runtime)

.PHONY: setup
setup: $(READY) ## make .venv with joinlab and its tools (the other targets do it when needed)

# What is wrong with the options is told before minutes are spent on the set-up.
.PHONY: options
options:
	@say() { echo "$$1" >&2; exit 2; }; \
	case '$(topology)' in \
	  */*|*.yaml|*.yml) [ -e '$(topology)' ] || say 'topology=$(topology): there is no such file';; \
	  *) [ -e 'topologies/$(topology).yaml' ] || say "topology=$(topology): there is no such topology; there are: $$(ls topologies/*.yaml | sed 's|.*/||; s|\.yaml||' | paste -sd ' ')";; \
	esac; \
	case '$(runtime)' in auto|docker|netns) ;; *) say 'runtime=$(runtime): expected auto, docker or netns';; esac; \
	case '$(leaves)' in \
	  '') ;; \
	  *[!0-9]*) say 'leaves=$(leaves): expected 1 to 1022';; \
	  *) [ $(leaves) -ge 1 -a $(leaves) -le 1022 ] || say 'leaves=$(leaves): expected 1 to 1022';; \
	esac

# The stamp is older than pyproject.toml when the dependencies may have changed. An environment does not survive that
# its checkout is moved or its Python or pytest goes away; then it is made anew.
USABLE := $(shell [ -x $(VENV)/bin/python -a -x $(PYTEST) ] && [ "$$(cat $(READY) 2> /dev/null)" = '$(CURDIR)' ] && echo yes)
$(READY): pyproject.toml $(if $(USABLE),,anew) | options
	@.ci/make-venv '$(PYTHON)' $(VENV)
	@echo '$(CURDIR)' > $@

.PHONY: anew
anew:

# As pip does for what it installs. Python would do it at the first run, but not where PYTHONDONTWRITEBYTECODE is set
# or the checkout is somebody else's, and then a lab takes half as long again to come up.
.PHONY: compiled
compiled: $(READY)
	@$(VENV)/bin/python -m compileall -qq nodes harness || true # a checkout that cannot be written to works, only slower

.PHONY: check
check: compiled ## everything that CI runs: lint, types, all tests, each runtime and kind of user
	@.ci/check

.PHONY: conformance
conformance: $(READY) ## which requirement of the stack is proved by which test (build/conformance.md)
	@$(VENV)/bin/python tests/conformance.py $(args)

.PHONY: lint
lint: $(READY) ## ruff: rules and format
	@$(VENV)/bin/ruff check --quiet . && $(VENV)/bin/ruff format --check --quiet . && echo 'lint: clean'

.PHONY: types
types: $(READY) ## mypy --strict over everything, tests included
	@$(VENV)/bin/mypy

.PHONY: unit
unit: $(READY) ## tests that need no privileges
	@$(PYTEST) tests/unit $(args)

.PHONY: stack
stack: $(READY) ## tests of multipoint on real sockets
	@$(PYTEST) tests/stack $(args)

.PHONY: harness
harness: $(READY) ## tests of the harness: keeper, runtimes, plugin, command line
	@$(PYTEST) tests/harness $(args)

.PHONY: bench
bench: compiled ## measure start, stop and calls (JSON under build/)
	@$(PYTEST) tests/bench -s $(args)

.PHONY: netem-kernel
netem-kernel: ## fetch the kernel in which netem is tested where this machine's kernel has none
	@.ci/netem-kernel

.PHONY: image
image: $(READY) ## build the node image (docker runtime; the tests do it when needed)
	@$(JOINLAB) image

.PHONY: doctor
doctor: $(READY) ## what this machine offers, and all that is missing, with cures
	@$(JOINLAB) doctor

.PHONY: clean
clean: $(READY) ## remove what dead runs left on this machine; files of the checkout stay
	@$(JOINLAB) clean

.PHONY: distclean
distclean: $(if $(USABLE),clean) ## the same, then remove .venv/, build/ (with all artefacts) and the tools' caches
	@rm -rf $(VENV) build .hypothesis $$(find nodes harness tests -name __pycache__) .mypy_cache .pytest_cache .ruff_cache
