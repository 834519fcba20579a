# What a newcomer runs. Everything installs into .venv; nothing outside the checkout is touched.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-shop test check soak bench clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m examples.demo

demo-shop: $(VENV)/.installed
	$(BIN)/python -m examples.shop.demo

test: $(VENV)/.installed
	$(BIN)/python -m pytest

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_shape.py

soak: $(VENV)/.installed
	$(BIN)/python -m pytest --soak --timeout 7200 tests/crash tests/laws tests/examples

bench: $(VENV)/.installed
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
