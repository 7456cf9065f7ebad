# Two commands do everything on a machine that has only Python 3.11 or newer with pip: `make serve` and `make test`.
# Every path is relative, so a checkout below a folder with spaces in its name works.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The suite starts hundreds of processes: where nothing compiled may be kept, each would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE
.NOTPARALLEL:                    # two targets must never install into one environment at once

# Which interpreter makes the environment; empty: the first that works of python3.13, 3.12, 3.11, python3.
PYTHON ?=
# Options passed on: `make serve ARGS='--port 9000'`.
ARGS ?=

BIN := .venv/bin
RUNTIME := .venv/.runtime
DEV := .venv/.dev
# How the suite is run: on every processor, whole files at a time, since a file's tests share what they started.
# Their order is kept: files of small tests come last, so that no processor waits long for another one's last file.
SUITE := $(BIN)/pytest --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder
# Rooms whose tests must reach (almost) every branch, and the least percentage for each of them.
COVERED := wire domain media hosting
COVERAGE := 95

# Constraints by environment variable are no substitute: they do not reach setuptools in every version of pip.
# So the build tool is installed first, from the same file, and no isolated (unpinned) build takes place.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

# A minute of silence looks like a hang, and pip's own hundreds of lines like trouble. So on a terminal there is one line
# that changes, elsewhere one when all is fetched, and nothing where CI is set. .venv/pip.log has all of it.
define SHOW
{ count=0; : >.venv/pip.log; \
  say() { if [ -t 1 ]; then printf '\r\033[K  %.76s' "$$1"; elif [ -n "$$2" ]; then printf '  %s\n' "$$1"; fi; }; \
  while IFS= read -r line; do \
    printf '%s\n' "$$line" >>.venv/pip.log; \
    case "$$line" in \
      'Collecting '*) count=$$((count + 1)); line=$${line#Collecting }; say "$$count: $${line%% *}" ;; \
      *' Downloading '*) say "$$count: $${line##* Downloading }" ;; \
      'Installing collected packages: '*) say "fetched $$count, installing them" always ;; \
      'pip has failed') if [ -t 1 ]; then echo; fi; tail -n 20 .venv/pip.log >&2; exit 1 ;; \
    esac; \
  done; \
  if [ -t 1 ]; then printf '\r\033[K'; fi; }
endef
ifneq "$(CI)" ""
install = $(PIP) --quiet $(1)
else
install = { $(PIP) --progress-bar off $(1) 2>&1 || echo 'pip has failed'; } | $(SHOW)
endif

.PHONY: help
help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: serve
serve: $(RUNTIME) models  ## Set up what is missing, then serve the sample models on 127.0.0.1:8080
	@exec $(BIN)/sagebird serve $(ARGS)

.PHONY: test
test: $(DEV) models  ## Set up what is missing, then run the whole suite; where CI is set, hold its coverage to the limit
ifneq "$(CI)" ""
	$(SUITE) $(COVERED:%=--cov=service/%) --cov-report=
	@$(BIN)/coverage combine --quiet --append .coverage-hosts.*
	@$(BIN)/coverage json --quiet -o .coverage.json
	@$(BIN)/python tests/coverage_by_room.py .coverage.json $(COVERAGE) $(COVERED)
else
	$(SUITE)
endif

.PHONY: quick
quick: $(DEV) models  ## Run the tests that start no server: five minutes instead of fourteen
	$(SUITE) -m 'not family'

.PHONY: check
check: $(DEV)  ## Lint, formatting, types and the import rule
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/test_import_rule.py

.PHONY: sdk
sdk: .venv-sdk/.ready  ## Make .venv-sdk with the SageMaker Python SDK, which one test then runs
	$(BIN)/pytest tests/aws/control/sdk

.PHONY: programs
programs: $(DEV) models  ## Run programs of SageMaker's users, each in an environment of its own: ARGS='sdk2 mlflow' (minutes; npm)
	$(BIN)/python -m tests.programs $(ARGS)

.PHONY: client
client: $(DEV) models  ## Make typed clients in TypeScript and Python from /openapi.json and call a server (npm)
	$(BIN)/python tests/faces/client/run.py

.PHONY: bench
bench: $(DEV) models  ## Measure requests/s, latency, CPU and memory beside a bare server
	$(BIN)/python tests/bench/run.py $(ARGS)

.PHONY: models
models: $(RUNTIME)  ## Train the sample models that are missing or out of date
	@$(BIN)/python models/train_all.py

.PHONY: clean
clean:  ## Remove the environment, caches and trained samples; data/ stays, it is yours
	rm -rf .venv .venv-sdk .client build dist *.egg-info .coverage .coverage.* .coverage-hosts.* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -f models/*/model.joblib models/*/.built service/native/*.so service/native/*.pyd
	find service tests models -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is made anew when its interpreter is gone or the checkout was moved (its scripts hold the old path).
ifeq "$(shell test -x $(BIN)/python && grep -F ' $(CURDIR)/.venv' .venv/pyvenv.cfg)" ""
.PHONY: .venv/pyvenv.cfg
endif

# Debian leaves ensurepip out of its python3 package: there that Python's own pip fills the environment.
SUITABLE := import sys, venv; from importlib.util import find_spec as has; \
  sys.exit(sys.version_info < (3, 11) or not (has("ensurepip") or has("pip")))

.venv/pyvenv.cfg:
	@set -- $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3); \
	for python; do "$$python" -c '$(SUITABLE)' 2>/dev/null && break; python=; done; \
	if [ -z "$$python" ]; then \
	  echo "sagebird needs Python 3.11 or newer with its modules venv and pip; found none among: $$*." >&2; \
	  echo "Install one, or name one: make $(or $(MAKECMDGOALS),serve) PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	echo "Making the environment .venv with $$("$$python" --version)"; \
	rm -rf .venv; \
	if "$$python" -c 'import ensurepip' 2>/dev/null; then "$$python" -m venv .venv; \
	else "$$python" -m venv --without-pip .venv && "$$python" -m pip --python .venv install --quiet pip; fi

# What is built where there is a C compiler.
KERNELS := $(wildcard service/native/*.[ch])
# What your models need beside scikit-learn.
LISTED := $(wildcard models/requirements.txt)

$(RUNTIME): .venv/pyvenv.cfg pyproject.toml constraints.txt $(KERNELS) $(LISTED)
	@echo "Installing sagebird and what it runs with (about a minute the first time)"
	@$(call install,setuptools)
	@$(call install,--no-build-isolation --editable . $(LISTED:%=--requirement %))
	@touch $@

# Every version is named, so nothing is resolved; --no-deps also keeps pip from asking an index for more.
.venv-sdk/.ready: $(DEV) tests/aws/control/sdk/requirements.txt
	@echo "Installing the SageMaker Python SDK (a few minutes)"
	@rm -rf .venv-sdk
	@$(BIN)/python -m venv --without-pip .venv-sdk
	@$(BIN)/python -m pip --python .venv-sdk install --quiet --disable-pip-version-check --no-deps \
	  --only-binary :all: --requirement tests/aws/control/sdk/requirements.txt
	@touch $@

$(DEV): .venv/pyvenv.cfg pyproject.toml constraints.txt $(KERNELS) $(LISTED)
	@echo "Installing sagebird and what it is tested with (about a minute the first time)"
	@$(call install,setuptools)
	@$(call install,--no-build-isolation --editable '.[dev]' $(LISTED:%=--requirement %))
	@touch $(RUNTIME) $@
