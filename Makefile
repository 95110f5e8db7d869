# Everything a developer does, by name. `make help` lists it.
#
# A target that needs packages makes .venv first and installs the locked ones, once per lock file.
# PYTHON=/path/to/python chooses the interpreter that .venv is made with.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --progress-bar off --require-hashes
UV_COMPILE := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11
WORKERS ?= 2
ROOMS := $(sort $(filter-out __pycache__,$(notdir $(patsubst %/,%,$(wildcard tests/service/*/)))) events projections)

# Ctrl-C reaches the service by itself; the shell must outlive it, or make would report an error.
LET_IT_END := trap : INT;

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: app-pictures otel help serve demo check test lint format types fuzz soak-privacy soak-timing soak bench simulate rebuild openapi released clients walk lock clean tour pictures

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.runtime $(VENV)/.web_app  ## Start the service with its own PostgreSQL; Ctrl-C stops both
	@$(LET_IT_END) $(BIN)/python -m service serve

demo: $(VENV)/.runtime $(VENV)/.web_app  ## Start the service with a synthetic couple of twelve months
	@$(LET_IT_END) $(BIN)/python -m service demo

tour:  ## Walk through the README's tour, with a running service; asks for the codes that it prints
	@$(or $(PYTHON),python3) openapi/tour.py $(ADDRESS)

# Types beside the tests: what it waits for is the processor. To collect the fuzzer's tests takes as long as many run, and
# two years of prompts in all time zones take a quarter of the rest.
check: lint  ## Run linters, types and the tests that need no database, in half a minute
	@$(BIN)/python -m mypy --strict & types=$$!; \
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m "not database and not fuzz and not soak and not clients" \
	    --ignore=tests/service/contract/test_fuzz.py --ignore=tests/service/prompts/test_planning_years.py; tested=$$?; \
	wait $$types && exit $$tested

test: $(if $(ROOM),$(VENV)/.dev,lint types) $(VENV)/.web_app_dev  ## Run linters, types and all tests; ROOM=recording runs one room's tests
	@$(if $(filter-out $(ROOMS),$(ROOM)),echo "No tests of $(filter-out $(ROOMS),$(ROOM)) here. Rooms: $(ROOMS)." >&2; exit 1)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal \
	    $(foreach room,$(ROOM),$(wildcard tests/service/$(room) tests/$(room)))

lint: $(VENV)/.dev  ## Check style, formatting and the directions of imports
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted: make format"; exit 1; }
	@out=$$($(BIN)/lint-imports 2>&1) || { echo "$$out"; exit 1; }

format: $(VENV)/.dev  ## Format the code and mend what the linter can mend
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .

types: $(VENV)/.dev  ## Check the types (mypy --strict)
	@$(BIN)/python -m mypy --strict

fuzz: $(VENV)/.dev  ## Run the long tests over random input
	@$(BIN)/python -m pytest -m fuzz -n $(WORKERS) --dist worksteal

soak-privacy: $(VENV)/.dev  ## Compare 20,000 pairs of worlds that differ in what is private, half of them of two workers
	@$(BIN)/python -m pytest tests/noninterference -m soak -n $(WORKERS) --dist worksteal \
	    --ignore=tests/noninterference/test_timing.py

soak-timing: $(VENV)/.dev  ## Time what may tell that the other is there, or writes in private; a quiet machine is needed
	@$(BIN)/python -m pytest tests/noninterference/test_timing.py -m soak

soak: $(VENV)/.dev  ## Kill, cut and starve the service for hours; nothing acknowledged may be lost
	@$(BIN)/python -m pytest tests/faults tests/service tests/web_app -m soak

bench: $(VENV)/.dev  ## Measure speed (needs wrk); BENCH="put reads" chooses, QUICK=1 looks shortly
	@$(BIN)/python -m tests.benchmarks $(BENCH) $(if $(QUICK),--quick)

simulate: $(VENV)/.dev  ## Simulate how often chance alone makes a reading; QUICK=1 looks shortly
	@$(BIN)/python -m tests.simulation $(if $(QUICK),--quick)

rebuild: $(VENV)/.runtime  ## Recompute all counts from the log, and report differences
	@$(LET_IT_END) $(BIN)/python -m service rebuild

otel: $(VENV)/.runtime requirements-otel.lock  ## Install what OTLP_URL needs: OpenTelemetry
	@echo "Installing the packages of requirements-otel.lock"
	@$(PIP) -r requirements-otel.lock

openapi: $(VENV)/.runtime  ## Write openapi/openapi.json anew
	@mkdir -p openapi
	@$(BIN)/python -m service openapi > openapi/openapi.json.new
	@mv openapi/openapi.json.new openapi/openapi.json

released: $(VENV)/.dev  ## Keep the contract as released: later changes are compared with it
	@$(BIN)/python -m tests.support.contract_changes > openapi/released.json.new
	@mv openapi/released.json.new openapi/released.json

clients: $(VENV)/.dev  ## Generate a client in each language, and drive the service with it
	@$(BIN)/python -m pytest tests/clients -m clients

pictures: $(VENV)/.runtime  ## Draw the pictures of docs/balances.md anew
	@PYTHONPATH=. $(BIN)/python docs/pictures/draw.py

app-pictures: $(VENV)/.dev $(VENV)/.web_app_dev  ## Store the pictures of the phone app anew; look at them (SCREENS=folder takes whole screens)
	@WRITE_PICTURES=1 $(BIN)/python -m pytest tests/web_app/test_pictures.py

walk: $(VENV)/.dev  ## Walk a write and two reads; write the files that they run through into ARCHITECTURE.md
	@$(BIN)/python -m tests.support.walking ARCHITECTURE.md

lock: $(VENV)/.dev  ## Write the lock files anew from what is wanted (UPGRADE=--upgrade takes newer releases)
	@$(UV_COMPILE) $(UPGRADE) pyproject.toml -o requirements.lock
	@$(UV_COMPILE) $(UPGRADE) --extra otel -c requirements.lock pyproject.toml -o requirements-otel.lock
	@$(UV_COMPILE) $(UPGRADE) --extra dev --extra otel -c requirements-otel.lock pyproject.toml -o requirements-dev.lock
	@$(UV_COMPILE) $(UPGRADE) openapi/clients/requirements.in -o openapi/clients/requirements.lock

clean:  ## Remove .venv, what was built, and all caches; data stays
	@rm -rf $(VENV) service/web_app/node_modules service/web_app/built .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A dot for each package that is found or fetched: pip says too much for a screen, or nothing for a minute. Where it
# fails, its last words are shown. The line "exit" carries its status through the pipe.
define INSTALL
printf 'Installing the %s packages of $< ' $$(grep -c '==' $<); \
{ $(PIP) -r $< 2>&1; echo "exit $$?"; } | tee $(VENV)/install.log | while read -r word rest; do \
    case "$$word" in \
        Collecting) printf . ;; \
        Installing) printf ' unpacking … ' ;; \
        exit) test "$$rest" = 0 && echo done || { echo; tail -n 20 $(VENV)/install.log >&2; }; exit "$$rest" ;; \
    esac; \
done
endef

# A found python is one that really runs, is new enough, and can make a virtual environment.
$(VENV)/.made:
	@for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Making $(VENV) with $$("$$python" --version)"; \
	        "$$python" -m venv --clear $(VENV) && touch $@; exit; \
	    fi; \
	done; \
	echo "No suitable Python was found: Mutuality needs Python 3.11 or newer with its venv module" \
	    "(Debian: apt install python3-venv). make PYTHON=/path/to/python chooses one." >&2; exit 1

$(VENV)/.runtime: requirements.lock | $(VENV)/.made
	@$(INSTALL)
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(VENV)/.made
	@$(INSTALL)
	@touch $@

# The phone app. Without Node and a registry it is left out, with a sentence (exit code 3), and tried again the next time.
WEB_APP := service/web_app
WEB_APP_SOURCES := $(filter-out %/api_schema.d.ts,$(wildcard $(WEB_APP)/*.json $(WEB_APP)/*.mjs $(WEB_APP)/src/*.* $(WEB_APP)/src/*/*.*))

$(VENV)/.web_app: $(WEB_APP_SOURCES) | $(VENV)/.made
	@$(WEB_APP)/build.sh $(abspath $(BIN)/python) && touch $@ || [ $$? = 3 ]

$(VENV)/.web_app_dev: $(WEB_APP_SOURCES) | $(VENV)/.made
	@$(WEB_APP)/build.sh $(abspath $(BIN)/python) dev && touch $@ || [ $$? = 3 ]
