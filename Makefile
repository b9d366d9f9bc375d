# `make demo` runs the main job, `make test` proves it; both set up what they need in .venv.
PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
PINS := docker/requirements
PYTEST ?= $(BIN)/python -m pytest

# Tests start some hundred processes, each of which would compile all sources again where the environment says to keep no
# bytecode.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: install demo assets browser test test-parts test-faults sweeps bare test-all conformance-camunda engines storm hostile soak ogx models oracles zep image monitoring completions wheel keeping deploy-check
.PHONY: lint bench lock baseline clean

install: $(VENV)/demo.stamp assets

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say PYTHON=python3.x")'
	@# Half an environment would be taken for one the next time.
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/demo.stamp: $(BIN)/python $(PINS)/demo.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r $(PINS)/demo.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/demo.stamp $(PINS)/dev.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r $(PINS)/dev.txt
	@touch $@

# What draws the diagrams on the page comes from npm, and npm in a wheel where the machine has none. Without it all else
# works, and a line says what is missing. So it is with what tests alone need: a browser, and what npm has.
assets: $(VENV)/demo.stamp
	@command -v npm >/dev/null || $(BIN)/python -m pip install --quiet --require-hashes -r $(PINS)/node.txt || true
	@$(BIN)/python -m worker.demo.page_assets >/dev/null || true

browser: $(VENV)/dev.stamp
	@$(BIN)/python -m tests.browser || true
	@$(BIN)/python -m tests.axe || true
	@$(BIN)/python -m tests.element_templates || true
	@$(BIN)/python -m tests.modeler || true

demo: $(VENV)/demo.stamp assets
	$(BIN)/assistant-worker demo $(ARGS)

# Most tests wait most of the time: three processes at once, each with an engine of its own, and files in the random order
# of the run: by default those with the fewest tests, which are among the slowest, come last. Those of tests/faults run
# side by side by themselves. With ARGS, whatever they choose runs in one process.
ifeq ($(strip $(ARGS)),)
test:
	@$(MAKE) --no-print-directory --keep-going test-parts test-faults
else
test: $(VENV)/dev.stamp assets browser
	$(PYTEST) $(ARGS)
endif

test-parts: $(VENV)/dev.stamp assets browser
	$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/faults -m "not sweep"

test-faults: $(VENV)/dev.stamp
	$(PYTEST) tests/faults

# What shows a promise at every place, in every size or for every application, where `make test` shows it once: twenty minutes.
sweeps: $(VENV)/dev.stamp assets browser
	$(PYTEST) -n 2 --dist loadfile -m sweep tests $(ARGS)

# What a modeller can say, on Camunda 7.24.
conformance-camunda: $(VENV)/dev.stamp
	TEST_ENGINE=camunda $(PYTEST) -n 2 --dist loadfile tests/conformance $(ARGS)

# Everything on Operaton, with the sweeps, then on Camunda 7.24 what a modeller can say, the main path and the process applications.
# Then what a real Prometheus sees, what zsh and fish complete, the wheel, engines as others set them up, Zep's SDKs, and the image, which says what of the machine it lacks.
test-all: test sweeps
	TEST_ENGINE=camunda $(PYTEST) -n 2 --dist loadfile tests/conformance tests/flow tests/contract/test_engine_sources.py tests/contract/test_engine_receivers.py tests/e2e/test_demo.py $(ARGS)
	@$(MAKE) --no-print-directory monitoring completions wheel engines zep image

# Engines as others set them up: rights, history levels, a path prefix, two nodes; and workers that come and go with the
# backlog. A quarter of an hour, and again with TEST_ENGINE=camunda.
engines: $(VENV)/dev.stamp
	WITH_SETUPS=1 $(PYTEST) -n 2 --dist loadfile tests/setups $(ARGS)

# Random faults for minutes, and poisoned tasks among healthy ones: ARGS="--seed 7 --seconds 300".
storm: $(VENV)/dev.stamp
	$(BIN)/python -m tests.faults.storm $(ARGS)

# Outages of minutes, ten thousand tasks, huge variables: half an hour.
soak: $(VENV)/dev.stamp
	$(BIN)/python -m tests.faults.soak $(ARGS)

# The worker on OGX, a server of Conversations and Responses that others wrote. It wants Python 3.12 or newer: one in
# PATH, or OGX_PYTHON; nothing else of the machine.
ogx: $(VENV)/dev.stamp
	$(BIN)/python -m tests.ogx.install
	WITH_OGX=1 $(BIN)/python -m pytest tests/ogx $(ARGS)

# The worker on a real small model: on llama.cpp, and on LiteLLM before it.
models: $(VENV)/dev.stamp
	$(BIN)/python -m tests.small_model.install
	WITH_MODELS=1 $(BIN)/python -m pytest tests/small_model $(ARGS)

# Decisions as pymcdm and scikit-criteria compute them, which are installed into .oracles, and as LibreOffice does.
oracles: $(VENV)/dev.stamp
	@command -v soffice >/dev/null || { echo "LibreOffice is needed: apt-get install libreoffice-calc"; exit 1; }
	WITH_ORACLES=1 $(BIN)/python -m pytest tests/oracles $(ARGS)

# The stand-in for Zep Cloud as Zep's own SDKs see it, in both of its dialects: they are installed into .zep.
zep: $(VENV)/dev.stamp
	$(BIN)/python -m tests.zep.install
	WITH_ZEP=1 $(BIN)/python -m pytest tests/zep $(ARGS)

# The alert rules against their cases, a real Prometheus that scrapes a worker, and the dashboard as Grafana's own types know it, which are
# installed into .monitoring.
monitoring: $(VENV)/dev.stamp
	@command -v promtool >/dev/null || { echo "Prometheus is needed: apt-get install prometheus"; exit 1; }
	promtool check rules deploy/monitoring/alerts.yaml
	promtool test rules deploy/monitoring/alerts.test.yaml
	WITH_PROMETHEUS=1 $(BIN)/python -m pytest -s tests/monitoring $(ARGS)

# What zsh and fish themselves complete; of bash each run of the tests sees it.
completions: $(VENV)/dev.stamp
	@command -v zsh >/dev/null && command -v fish >/dev/null || { echo "zsh and fish are needed: apt-get install zsh fish"; exit 1; }
	WITH_SHELLS=1 $(BIN)/python -m pytest tests/shells $(ARGS)

# The wheel, installed where there is no checkout, and its demo without a network.
wheel: $(VENV)/dev.stamp
	WITH_WHEEL=1 $(BIN)/python -m pytest tests/wheel $(ARGS)

# Each store lost, and all restored to different moments; two versions of the worker side by side under load.
keeping: $(VENV)/dev.stamp
	WITH_KEEPING=1 $(PYTEST) -s tests/keeping $(ARGS)

# The image, built and run without a daemon, also as each worker of docker/compose.yaml. Needs root, debootstrap, buildah, podman, runc,
# curl and openssl.
image: $(VENV)/dev.stamp assets
	$(BIN)/python -m tests.image.build
	WITH_IMAGE=1 $(BIN)/python -m pytest tests/image $(ARGS)

# Manifests and chart as a cluster would look at them, without one: rendered, and held against the schemas of all kinds. Wants
# Go, to build helm and kustomize: a quarter of an hour, once.
deploy-check: $(VENV)/dev.stamp
	$(BIN)/python -m tests.deploy.install
	WITH_DEPLOY=1 $(BIN)/python -m pytest tests/deploy $(ARGS)

# The generators of hostile things until each has made ten thousand. Most of the time goes into orders to erase and into doctor.
HOSTILE_EACH ?= 10000
hostile: $(VENV)/dev.stamp
	HOSTILE_EACH=$(HOSTILE_EACH) $(PYTEST) -n 2 --dist worksteal tests/unit/test_hostile.py tests/unit/test_hostile_answers.py tests/unit/test_hostile_settings.py \
		tests/core/test_hostile_tasks.py tests/core/test_hostile_orders.py tests/contract/zep/test_zep_hostile.py $(ARGS)

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Of a rough run the pictures go where nobody takes them for results.
bench: $(VENV)/dev.stamp assets
	$(BIN)/python -m tests.benchmarks $(ARGS)
	$(BIN)/python -m tests.benchmarks.growth $(filter --quick,$(ARGS))
	$(BIN)/python -m tests.benchmarks.long $(if $(filter --quick,$(ARGS)),--turns 200)
	$(BIN)/python -m tests.benchmarks.recall $(if $(filter --quick,$(ARGS)),--facts 1000)
	$(BIN)/python -m tests.benchmarks.decide
	$(BIN)/python -m tests.benchmarks.watchers $(if $(filter --quick,$(ARGS)),--threads 5 --each 2)
	$(BIN)/python -m tests.benchmarks.plots $(if $(filter --quick,$(ARGS)),--folder build/plots)

# The commands above on a Debian 12 that has nothing but Python, make and git: as root and as an ordinary user, from a clone
# of what is committed here. ARGS="user" or "root" for one of them, "full" for all tests. Needs root and debootstrap.
bare:
	.ci/bare $(ARGS)

# Needs uv. Writes hashes and no address of any package index.
lock:
	for set in "run pyproject.toml" "demo pyproject.toml --extra demo --group build" "build --group build" "otel pyproject.toml --extra otel" \
	    "oidc pyproject.toml --extra oidc" "decisions pyproject.toml --extra decisions" "report pyproject.toml --extra report" "documents pyproject.toml --extra documents" \
	    "node --group node" "deploy --group deploy" "grafana --group grafana" "oracles --group oracles" \
	    "small-model worker/demo/small-model.in --no-deps" "litellm tests/small_model/litellm.in" \
	    "zep-v2 tests/zep/v2.in" "zep-v4 tests/zep/v4.in" \
	    "dev pyproject.toml --extra decisions --extra demo --extra documents --extra oidc --extra otel --extra report --group build --group node --group bench --group test"; do \
	  set -- $$set; name=$$1; shift; \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	    --no-emit-index-url --no-emit-find-links $$@ -o $(PINS)/$$name.txt; \
	done
	uv pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links tests/ogx/requirements.in -o $(PINS)/ogx.txt

# The source that the upgrade tests run beside the worker's, see tests/upgrade/baseline.py: of what is committed.
baseline:
	git archive HEAD worker ':!worker/demo' | xz -9e > tests/upgrade/baseline.tar.xz
	cd tests/upgrade && sha256sum baseline.tar.xz > baseline.sha256

clean:
	rm -rf $(VENV) .ogx .models .deploy .monitoring .oracles .zep .pytest_cache .mypy_cache .ruff_cache
