# What a person types. CI types the same.
PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
LIBRARIES := $(VENV)/.libraries
READY  := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
# Which build of torch: cpu, cuda, or what the package index gives. Where the index has no CPU builds,
# name one that has: make setup TORCH=cpu TORCH_INDEX=https://...
TORCH  ?=
TORCH_INDEX ?=
FROM   := $(addprefix --extra-index-url ,$(TORCH_INDEX))
TORCH_VERSION := $(shell sed -n 's/^torch==\([0-9.]*\).*/\1/p' torch.lock)
TORCH_ASKED := torch$(if $(filter cuda,$(TORCH)),===,==)$(TORCH_VERSION)$(if $(filter cpu,$(TORCH)),+cpu)
CPU    := 0.4 GB to download, 2 GB on disk
CUDA   := 6.3 GB on disk
SIZE   := $(if $(filter cpu,$(TORCH)),$(CPU),$(if $(filter cuda,$(TORCH)),$(CUDA),$(CPU); $(CUDA) where torch comes as its CUDA build, which TORCH=cpu avoids))
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
WORKERS ?= 2
# Arguments for the command line: make demo ARGS="--out runs/mine"
ARGS   ?=
IMAGES ?= pipeline trainer responder
HASHED := pip compile --quiet --no-header --no-annotate --generate-hashes \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28
UV     := build/uv/bin/uv
# kfp-server-api has no wheel; it is pure Python.
WHEELS := pip install --quiet --dry-run --target build/uv/none --python-version 3.11 --no-deps \
	--require-hashes --only-binary :all: --no-binary kfp-server-api

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test lint format compile test-unit test-local test-deploy test-service test-container test-browser test-cluster images push kind-load sbom locks-of-images lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv from requirements.lock: what running needs (TORCH=cpu or TORCH=cuda)

setup-dev: $(READY_DEV)  ## the same and what tests need, from requirements-dev.lock

# The locks name all that is needed, so pip need not resolve. torch has a lock of its own, with the
# hashes of its CPU and its CUDA builds; which one the index gives is asked first, since pip would
# prefer whichever index tells a hash. The CUDA build's libraries are what pip then finds missing.
$(LIBRARIES): requirements.lock torch.lock
	@command -v $(PYTHON) >/dev/null || { echo "setup: $(PYTHON) not found: install Python 3.11 or say make PYTHON=..."; exit 2; }
	@case "$(TORCH)" in ""|cpu|cuda) ;; *) echo "setup: no build of torch: TORCH=$(TORCH); say TORCH=cpu or TORCH=cuda"; exit 2;; esac
	@echo "setup: installing into $(VENV): $(SIZE)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --no-deps --require-hashes --requirement requirements.lock
	@version=$$($(PIP) install $(FROM) --dry-run --no-deps --report - "$(TORCH_ASKED)" | \
		$(BIN)/python -c 'import json, sys; print(json.load(sys.stdin)["install"][0]["metadata"]["version"])' 2>/dev/null) && \
	sed "s/^torch==[0-9.]*/torch===$$version/" torch.lock > $(VENV)/torch.lock && \
	case "$$version" in \
	$(TORCH_VERSION)|$(TORCH_VERSION)+cpu) \
		$(PIP) install $(FROM) --no-deps --require-hashes --requirement $(VENV)/torch.lock;; \
	*) echo "setup: torch $$version has no hash in torch.lock" && $(PIP) install $(FROM) --no-deps "torch===$$version";; \
	esac
	@$(PIP) install $(FROM) "torch==$(TORCH_VERSION)"
	@touch $@

$(READY): $(LIBRARIES) pyproject.toml
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(PIP) check
	@touch $@
	@echo "setup: done"

$(READY_DEV): $(READY) requirements-dev.lock
	@$(PIP) install --no-deps --require-hashes --requirement requirements-dev.lock
	@$(PIP) check
	@touch $@

demo: setup  ## run the whole DAG in small, with the pocket profile
	$(BIN)/spavl run --profile pocket $(ARGS)

test: lint test-unit test-deploy test-service test-local  ## everything that needs no root, engine or browser

test-unit: setup-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/unit

# Two trainings share the cores: threads that wait in a loop would take them from each other.
test-local: setup-dev
	OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder tests/local

test-deploy: setup-dev  ## charts, manifests and compiled pipelines, with real helm
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/deploy

test-service: setup-dev  ## against real services that the tests start
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/service

lint: setup-dev  ## ruff, mypy, import contract, compiled pipelines
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict spavl
	$(BIN)/lint-imports
	$(BIN)/spavl compile --check

format: setup-dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

compile: setup-dev  ## write what is made from the code: compiled pipelines, schema and reference of settings
	$(BIN)/spavl config schema > components/configuration/profile.schema.json
	$(BIN)/spavl config reference > docs/settings.md
	$(BIN)/spavl compile

# docker.io brings the engine, docker-registry the registry that pushes are proved against.
test-container: setup-dev  ## images, pushes and the DAG in containers; root with Debian's docker.io
	@mkdir -p build; if [ "$$(id -u)" != 0 ]; then echo "test-container: skipped, only root can start an engine"; exit; fi; \
	for needed in docker.io:dockerd docker-registry:docker-registry; do \
		command -v $${needed#*:} >/dev/null || { apt-get update && \
		apt-get install --yes --no-install-recommends $${needed%:*}; } >>build/apt.log 2>&1 || true; done; \
	if ! command -v dockerd >/dev/null; then echo "test-container: skipped, dockerd is not here and docker.io does not install"; \
	else $(BIN)/python -m pytest tests/container; fi

test-browser: setup-dev  ## tests that need a browser
	@if ! ls tests/browser/test_*.py >/dev/null 2>&1; then echo "test-browser: skipped, no such tests yet"; \
	elif ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then \
		echo "test-browser: skipped, no chromium or google-chrome found"; \
	else $(BIN)/python -m pytest tests/browser; fi

test-cluster: setup-dev  ## against the cluster that KUBECONFIG names, which has KFP 2.17
	$(BIN)/python -m pytest --capture=no --verbose tests/cluster

images: setup  ## build our images and tag them as compiled pipelines ask: make images IMAGES=trainer
	PYTHON=$(BIN)/python images/images.sh build $(IMAGES)

push: setup  ## push them with all their tags: make push REGISTRY=registry.example.com/team
	@PYTHON=$(BIN)/python images/images.sh push $(IMAGES)

kind-load: setup  ## load them into a kind cluster: make kind-load KIND_CLUSTER=kind IMAGES="pipeline trainer"
	@PYTHON=$(BIN)/python images/images.sh kind-load $(IMAGES)

sbom:  ## what is in our images, as CycloneDX, from their locks
	@test -x build/sbom/bin/cyclonedx-py || { $(PYTHON) -m venv build/sbom && \
		build/sbom/bin/python -m pip install --quiet cyclonedx-bom==7.5.0; }
	@for image in pipeline trainer responder; do cat images/$$image/*.lock > build/sbom/$$image.lock && \
		build/sbom/bin/cyclonedx-py requirements --output-reproducible --output-format JSON \
		--output-file build/sbom/$$image.json build/sbom/$$image.lock && echo build/sbom/$$image.json; done

# Hashes are those of every file of a version, so one lock serves x86_64 and aarch64: the last lines
# ask whether Debian bookworm finds wheels on both.
locks-of-images: $(UV)  ## resolve images/*/*.in anew, within requirements.lock, with hashes
	$(UV) $(HASHED) images/tools.in --output-file images/tools.lock
	$(UV) $(HASHED) --constraint requirements.lock --no-emit-package torch \
		images/pipeline/requirements.in --output-file images/pipeline/requirements.lock
	$(UV) $(HASHED) --constraint requirements.lock --no-emit-package torch \
		--config-file images/trainer/uv.toml images/trainer/requirements.in \
		--output-file images/trainer/requirements.lock
	$(UV) $(HASHED) --no-deps images/trainer/deepspeed.in --output-file images/trainer/deepspeed.lock
	$(UV) $(HASHED) images/responder/requirements.in --output-file images/responder/requirements.lock
	@for image in pipeline trainer responder; do for machine in x86_64 aarch64; do \
		$(UV) $(WHEELS) --python-platform $$machine-manylinux_2_36 \
		--requirement images/$$image/requirements.lock || exit; done; done

# torch's lock is made by hand when its version changes: the index's hashes, and that of the CPU build.
lock: $(UV)  ## resolve pyproject.toml anew into requirements.lock and requirements-dev.lock
	$(UV) $(HASHED) --no-emit-package torch --extra install pyproject.toml --output-file requirements.lock
	$(UV) $(HASHED) --no-emit-package torch --extra install --extra dev --constraint requirements.lock \
		pyproject.toml --output-file requirements-dev.lock

$(UV):
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip install --quiet --no-deps "$$(grep '^uv==' images/tools.in)"

clean:  ## remove .venv, caches and build products; runs/ stays
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
