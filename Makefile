# Needs Python 3.11 and make, nothing else. `make` alone lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
STAMP := .venv/.setup-stamp

# For `make demo` and `make bench`.
STUDY ?=
OUT ?= demo-out
ARGS ?=

export UV_HTTP_TIMEOUT ?= 180

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

.PHONY: setup
setup: $(STAMP) ## build .venv from requirements.lock; nothing happens when it is up to date

.PHONY: demo
demo: $(STAMP) ## a chest CT and X-ray in, results out: STUDY=<folder of DICOM files> OUT=<folder, default demo-out>
	@$(BIN)/opacity-node demo $(if $(STUDY),"$(STUDY)") --out "$(OUT)" $(ARGS)

.PHONY: test
test: $(STAMP) ## unit, integration and acceptance tests; ARGS='-k name' goes to pytest
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: check
check: $(STAMP) ## what every commit passes: format, lint, types, floors, unit and integration tests
	@scripts/check $(ARGS)

.PHONY: torture
torture: $(STAMP) ## kill -9 a node 40 times in each of five windows, under load; writes docs/evidence/torture.json
	@TORTURE_KILLS=40 TORTURE_EVIDENCE=docs/evidence/torture.json $(BIN)/python -m pytest tests/torture $(ARGS)

.PHONY: hostile
hostile: $(STAMP) ## odd, broken and hostile peers against a node: floods, huge objects, 3000 fuzzed examples of each kind
	@HOSTILE_FULL=1 REQUIRE_PEERS=1 $(BIN)/python -m pytest tests/hostile --timeout=1800 $(ARGS)

.PHONY: parity
parity: $(STAMP) ## balaitous against its published package on all of a real CT, half an hour; writes docs/evidence/parity.json
	@PARITY_FULL=1 PARITY_EVIDENCE=docs/evidence/parity.json $(BIN)/python -m pytest tests/parity $(ARGS)

.PHONY: viewers
viewers: $(STAMP) ## every kind of result in OHIF, in a real browser; writes docs/evidence/viewers.json and docs/viewers
	@$(BIN)/python -m tests.viewers.ohif
	@REQUIRE_PEERS=1 VIEWERS_EVIDENCE=docs $(BIN)/python -m pytest tests/viewers $(ARGS)

.PHONY: learn
learn: $(STAMP) ## train narrow networks on phantoms and run whole pipelines with them; writes docs/evidence/learn.json
	@OMP_NUM_THREADS=1 LEARN_EVIDENCE=docs/evidence/learn.json $(BIN)/python -m pytest tests/learn $(ARGS)

.PHONY: bench
bench: $(STAMP) ## measure this machine and write docs/evidence: STUDY=<folder of DICOM files>
	@$(BIN)/opacity-node bench turnaround $(if $(STUDY),"$(STUDY)") --evidence docs/evidence/turnaround.json $(ARGS)
	@$(BIN)/opacity-node bench service --evidence docs/evidence/service.json
	@$(BIN)/opacity-node bench load $(if $(STUDY),"$(STUDY)") --evidence docs/evidence/load.json
	@$(BIN)/opacity-node bench scale --evidence docs/evidence/scale.json
	@$(BIN)/opacity-node bench infer $(if $(STUDY),"$(STUDY)") --evidence docs/evidence/infer.json
	@$(BIN)/opacity-node bench receive --archived 1000000 --large 2 --large 4 --evidence docs/evidence/receive.json

.PHONY: lock
lock: $(STAMP) ## write requirements.lock anew from pyproject.toml; ARGS=--upgrade takes newer versions
	$(BIN)/uv pip compile pyproject.toml --quiet --extra dev --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --universal --python-version 3.11 $(ARGS) -o requirements.lock

.PHONY: clean
clean: ## remove .venv, caches and demo-out; never storage
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist demo-out
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# uv comes from the lock too, by its hash; it then installs all the rest. The project itself is installed
# editable, built by the locked hatchling: so nothing enters .venv whose hash is not in requirements.lock.
$(STAMP): requirements.lock pyproject.toml
	@$(BIN)/python -c '$(SUPPORTED)' 2>/dev/null || { $(FIND_PYTHON); "$$python" -m venv --clear .venv; }
	@awk '/^uv==/ {p = 1; print; next} /^[^ ]/ {p = 0} p' requirements.lock > .venv/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "make setup: .venv is ready ($$($(BIN)/python --version))"

# A Python that can build .venv; PYTHON=/path/to/python names one.
SUPPORTED := import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
FIND_PYTHON = \
  for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
    "$$python" -c '$(SUPPORTED)' 2>/dev/null && break; python=; \
  done; \
  test -n "$$python" || { \
    echo "make setup: no Python 3.11, 3.12 or 3.13 with venv found. Install one (Debian, Ubuntu: python3 and" >&2; \
    echo "python3-venv), or name yours: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
