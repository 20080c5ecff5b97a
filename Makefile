.DEFAULT_GOAL := help
BIN := .venv/bin

help:            ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:           ## install what development needs
	tools/setup dev

fmt:             ## format and mend what can be mended
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lint:            ## style, layers
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types:           ## mypy --strict
	$(BIN)/mypy

unit:            ## tests without I/O
	$(BIN)/pytest tests/unit

component:       ## each component with its real peers
	$(BIN)/pytest tests/component

e2e:             ## a real cluster (root)
	$(BIN)/pytest tests/e2e

check:           ## all of it, as CI does
	./test

.PHONY: help setup fmt lint types unit component e2e check
