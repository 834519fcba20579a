# What a newcomer runs. Everything installs into .venv; nothing outside the checkout is touched.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-shop test test-fast conformance check soak bench bench-peers clean

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/python -m examples.demo

demo-shop: $(VENV)/.installed
	$(BIN)/python -m examples.shop.demo

# How many processes test; `JOBS=0` is one, without xdist. Each test makes its own directory and asks for a free port, so
# any two may run side by side. Not so `conformance`: its tests share one daemon.
JOBS ?= 2
PARALLEL := -n $(JOBS) --dist worksteal

# Every test but `conformance` and `soak`. Of it tests/test_docs.py alone takes three minutes of one process.
test: $(VENV)/.installed
	$(BIN)/python -m pytest $(PARALLEL)

# The record, the guest side, and the executor without sockets, processes and the longest searches: 80 s of processor
# time, so about 40 s on two free cores.
FAST := tests/test_shape.py tests/test_face.py tests/oplog tests/workers \
	$(addprefix tests/executor/,test_config.py protocol commits components residents hostcalls turns operations)
SLOW := --ignore-glob '*/hostcalls/test_cycles*.py' --ignore tests/executor/operations/test_nesting.py \
	--deselect tests/executor/protocol/test_frames.py::test_frames_cut_anywhere_come_back_whole_and_in_order

test-fast: $(VENV)/.installed
	$(BIN)/python -m pytest -q $(PARALLEL) $(FAST) $(SLOW)

CLIENTS := tests/conformance/node_modules

$(VENV)/.conformance: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,conformance]'
	touch $@

$(CLIENTS)/.installed: tests/conformance/package-lock.json
	npm ci --prefix tests/conformance --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# Published clients, unchanged, against a daemon of ours.
conformance: $(VENV)/.conformance $(CLIENTS)/.installed
	$(BIN)/python -m pytest tests/conformance

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_shape.py

soak: $(VENV)/.installed
	$(BIN)/python -m pytest --soak --timeout 7200 tests/crash tests/laws tests/examples

bench: $(VENV)/.installed
	$(BIN)/python -m bench

PEER := bench/peers/.restate

# Restate and its Python SDK, beside ours and apart from it. The npm package's script only reports the download.
$(PEER)/.installed: bench/peers/package.json bench/peers/requirements.txt
	mkdir -p $(PEER)
	cp bench/peers/package.json $(PEER)/
	npm install --prefix $(PEER) --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error
	$(PYTHON) -m venv $(PEER)/venv
	$(PEER)/venv/bin/python -m pip install --quiet --disable-pip-version-check -r bench/peers/requirements.txt
	touch $@

bench-peers: $(VENV)/.installed $(PEER)/.installed
	$(BIN)/python -m bench.peers

clean:
	rm -rf $(VENV) $(CLIENTS) $(PEER) .mypy_cache .ruff_cache .pytest_cache .hypothesis
