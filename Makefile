# Two commands on a fresh machine: `make <recipe>` builds a model, `make test` proves the project.
# Needs GNU make and Python 3.11 or 3.12. `make` alone lists what there is.

# The Python that .venv is made with; name another as `make setup PYTHON=/path/to/python3.12`.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3,$(call usable,$(name))))
# The build of torch: cpu (Linux: 200 MB instead of several GB) or cuda. Once set up, it is kept.
TORCH ?= $(or $(patsubst .venv/.locked-%,%,$(wildcard .venv/.locked-*)),cpu)
# More for olive-build: `make all-minilm-l6-v2 ARGS="--target web"`; for pytest: `make test ARGS="-k recipe"`.
ARGS ?=
# The commit that `make same` compares with.
BASE ?= HEAD~1
# How many processes run the tests; each loads torch.
TEST_PROCESSES ?= 2

# Files that begin with _ are bases of others, not recipes.
recipe_files := $(filter-out recipes/_%,$(sort $(wildcard recipes/*.yaml)))
recipes := $(recipe_files:recipes/%.yaml=%)

# As olive_build/clients/client_packages.py has them.
chromiums := chromium chromium-browser google-chrome google-chrome-stable \
	/Applications/Chromium.app/Contents/MacOS/Chromium \
	'/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'
client_programs := $(wildcard olive_build/clients/*.mjs olive_build/clients/node/*.mjs) \
	olive_build/clients/browser/drive.mjs

# A version manager may have a command python3.12 that only says it is not installed: run it to know.
usable = $(shell $(1) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo $(1))
torch_version = $(shell sed -n 's/^torch==//p' olive_build/toolchains/build.lock)
pip = .venv/bin/python -m pip --disable-pip-version-check --no-input
# On a terminal pip shows how far a download is; a log needs only what goes wrong. pip compiles on one
# core; compileall does it on all, below.
install = $(pip) install --no-compile $(if $(MAKE_TERMOUT),,--quiet)
olive_build = .venv/bin/olive-build
locked = .venv/.locked-$(TORCH)
ready = .venv/.ready

# The default index has Linux's CUDA build alone. "+cpu" makes it that build or an error, never
# gigabytes of CUDA by mistake; an index of yours that has the file is asked as well.
ifeq ($(TORCH)-$(shell uname -s),cpu-Linux)
torch = torch==$(torch_version)+cpu --extra-index-url https://download.pytorch.org/whl/cpu --retries 2
else
torch = torch==$(torch_version)
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# A build runs its own steps side by side; two at once would fight for memory under `make -j`.
.NOTPARALLEL:
.PHONY: help setup toolchains all smoke check test slow architectures clients same bench bench-peers clean distclean $(recipes)

help:  ## list what make can do
	@echo 'make <recipe>   build, prove and publish a model for all its targets, in outputs/<recipe>/:'
	@awk '\
		function flush() { if (name) printf "  %-22s %s\n", name, text; name = "" } \
		FNR == 1 { flush(); name = FILENAME; sub(/.*\//, "", name); sub(/\.yaml$$/, "", name); text = "" } \
		/^description:/ && text == "" { text = $$0; sub(/^description:[ \t]*/, "", text); \
			folded = text ~ /^[>|]/; if (folded) text = ""; gsub(/^["\047]|["\047]$$/, "", text); next } \
		folded && NF { sub(/^[ \t]+/, ""); text = $$0; folded = 0 } \
		END { flush() }' $(recipe_files) /dev/null
	@echo 'make <goal>:'
	@sed -n 's/^\([a-z-]*\):.*  ## /\1|/p' Makefile | awk -F'|' '{ printf "  %-22s %s\n", $$1, $$2 }'
	@echo 'Variables: TORCH=cpu|cuda  PYTHON=...  ARGS="--target web"'

setup: $(ready)  ## make .venv with the locked packages and this project; every goal does it

toolchains: $(ready)  ## make the environment that training needs (135 MB beside the cache); builds do too
	@.venv/bin/python -m olive_build.toolchains

$(recipes): $(ready)
	$(olive_build) build $@ $(ARGS)

all: $(ready)  ## build every recipe; one that fails does not stop the others
	$(olive_build) build $(recipes) --keep-going $(ARGS)

smoke: $(ready)  ## build a miniature of every recipe, in seconds
	$(olive_build) build $(recipes) --smoke --keep-going $(ARGS)

check: $(ready)  ## lint, types, layers, recipes, schema
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(pip) check
	$(olive_build) validate
	$(olive_build) schema --check
	.venv/bin/python -m olive_build.record.schema --check

test: $(ready)  ## run the tests
	.venv/bin/python -m pytest -n $(TEST_PROCESSES) $(ARGS)

slow: $(ready)  ## run the tests that take minutes
	.venv/bin/python -m pytest tests/slow $(ARGS)
	ALL_TASKS=1 .venv/bin/python -m pytest tests/tasks

architectures: $(ready)  ## build every architecture of docs/architectures.md as a miniature; resumes
	.venv/bin/python -m tests.architectures.matrix $(ARGS)

clients: .clients/.ready  ## install what web bundles are run with (0.6 GB, Node 20 and npm), and Chromium as root on Debian
	@if [ "$$OLIVE_BUILD_CHROMIUM" ]; then set -- "$$OLIVE_BUILD_CHROMIUM"; else set -- $(chromiums); fi; \
		for name do command -v "$$name" > /dev/null && exit; done; \
		if [ -z "$$OLIVE_BUILD_CHROMIUM" ] && [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
			apt-get update && apt-get install --yes --no-install-recommends chromium; fi; \
		for name do command -v "$$name" > /dev/null && exit; done; \
		echo 'error: no Chromium found, so web bundles can be run in Node and not in a browser;' \
		'install it (apt-get install chromium), or name one in OLIVE_BUILD_CHROMIUM' >&2; exit 2

same: $(ready)  ## hold the bundles of this checkout against those of BASE=<commit>, built here by both
	.venv/bin/python benchmarks/same_bundles.py '$(BASE)' $(ARGS)

bench: $(ready)  ## measure the project's figures against Olive and PyTorch
	.venv/bin/python benchmarks/bench.py $(ARGS)

# What the peers lack is said at the end, by the exit code; what there is gets measured.
bench-peers: $(ready)  ## set up other tools in .peers (4 GB), measure the desktop bundle against them
	$(olive_build) build all-minilm-l6-v2 --target desktop
	.venv/bin/python benchmarks/peers/produce.py --torch '$(torch)'; made=$$?; \
		.venv/bin/python benchmarks/peers/compare.py $(ARGS) && exit $$made

clean:  ## remove what was built and the caches of tools
	rm -rf outputs build *.egg-info .grimp_cache .hypothesis .import_linter_cache .mypy_cache
	rm -rf .pytest_cache .ruff_cache
	find olive_build tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove .venv, .peers, .bare and .clients too
	rm -rf .venv .peers .bare .clients

# The stamps are made last, so a setup that was stopped has none and begins anew; what pip
# downloaded is in its cache. A new lock or another torch makes a new environment: nothing is left
# in it that the lock does not name. --no-deps: the lock names everything.
$(locked): olive_build/toolchains/build.lock
	@case '$(TORCH)' in cpu|cuda) ;; *) echo 'error: TORCH is $(TORCH); it is cpu or cuda' >&2; exit 2;; esac
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.11 or 3.12 found; install one, or name it:' \
		'make setup PYTHON=/path/to/python3.12' >&2; exit 2; }
	@test -n "$(call usable,$(PYTHON))" || { echo 'error: $(PYTHON) is no Python 3.11 or 3.12' >&2; exit 2; }
	@echo 'Making .venv with $(PYTHON) and torch for $(TORCH): about two minutes after the downloads, and 2 GB.'
	@rm -rf .venv
	$(PYTHON) -m venv .venv
	$(install) $(torch) --constraint olive_build/toolchains/build.lock || { \
		echo 'error: torch $(torch_version) for $(TORCH) cannot be installed, see above.' \
		'Without access to download.pytorch.org, "make setup TORCH=cuda" takes the build of the' \
		'default index.' >&2; exit 2; }
	$(install) --no-deps --only-binary :all: --requirement olive_build/toolchains/build.lock
	@# Without this, every start compiles what it imports where PYTHONDONTWRITEBYTECODE is set, as it
	@# is in many containers. Templates that are no Python make it fail; they are never imported.
	@.venv/bin/python -m compileall -q -j 0 .venv/lib > .venv/compile.log 2>&1 || true
	@touch $@

$(ready): $(locked) pyproject.toml
	$(install) --no-deps --no-build-isolation --editable .
	@.venv/bin/python -m compileall -q olive_build
	@touch $@

# Without --ignore-scripts onnxruntime-node fetches CUDA's libraries from another place; the CPU's
# are in its package.
.clients/.installed: $(addprefix olive_build/clients/node/,package.json package-lock.json)
	@command -v npm > /dev/null || { echo 'error: no npm found; install Node 20.9 or newer' >&2; exit 2; }
	@rm -rf .clients && mkdir .clients
	@cp $^ .clients
	npm ci --prefix .clients --ignore-scripts --no-audit --no-fund
	@touch $@

# The programs are links, so that what they import is found beside them.
.clients/.ready: .clients/.installed $(client_programs)
	@ln -sf $(addprefix ../,$(client_programs)) .clients
	@touch $@
