# The two commands of a new user are `make up` and `make down`; `make test` is what CI runs.
.POSIX:
.PHONY: up down test test-full lint bench bench-check clean lock env

BIN = .venv/bin
# Tests mostly wait, so two processes share them, each with servers of its own; what brings up whole platforms begins.
SIDE_BY_SIDE = -n 2 --dist loadfile --no-loadscope-reorder

up: env ## start everything on this machine and wait for the first alert
	@$(BIN)/vigil up

down: ## stop everything; data stays
	@if [ -x $(BIN)/vigil ]; then $(BIN)/vigil down; fi

lint: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

test: lint ## lint, unit tests, tests on the real servers, one run of the whole platform
	$(BIN)/pytest $(SIDE_BY_SIDE) -m 'not slow' tests

test-full: lint ## all of it, also what takes longer than a minute
	$(BIN)/pytest $(SIDE_BY_SIDE) --hypothesis-profile explore tests

bench: env ## the fixed workload, as a table and as JSON in benchmarks/results
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.accumulator
	$(BIN)/python -m benchmarks.matching
	$(BIN)/python -m benchmarks.takeover
	$(BIN)/python -m benchmarks.detector
	$(BIN)/python -m benchmarks.report
	@$(BIN)/python -m benchmarks.grouping || [ $$? -eq 66 ] # the data is not part of the checkout

bench-check: env ## the same, and fail on a figure that is missed
	$(BIN)/python -m benchmarks --check
	$(BIN)/python -m benchmarks.accumulator --check
	$(BIN)/python -m benchmarks.matching --check
	$(BIN)/python -m benchmarks.takeover --check
	$(BIN)/python -m benchmarks.detector --check
	$(BIN)/python -m benchmarks.report --check
	@$(BIN)/python -m benchmarks.grouping --check || [ $$? -eq 66 ]

clean: down ## forget all data
	@home="$${VIGIL_HOME:-.vigil}"; \
	if [ ! -e "$$home" ]; then :; \
	elif [ -d "$$home/run" ] && [ -d "$$home/airflow" ]; then rm -rf "$$home" && echo "removed $$home"; \
	else echo "clean: $$home does not look like a platform's home; remove it yourself" >&2; exit 1; fi

lock: env ## resolve requirements/lock.txt anew from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-header --quiet -o requirements/lock.txt

env:
	@sh scripts/bootstrap.sh
