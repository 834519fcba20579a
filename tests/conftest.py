"""What all tests share: the plugin that we ship, also where the project is not installed; daemons; `--soak`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings

import promissory.executor.testing
from tests.daemons import Daemons

# Explaining a failure costs minutes where an example is a whole executor.
PHASES = [phase for phase in Phase if phase is not Phase.explain]
settings.register_profile("promissory", phases=PHASES)
settings.register_profile("soak", phases=PHASES, max_examples=2_000)
settings.load_profile("promissory")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the long tests, and the others for longer")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what it puts in the background with SIGINT ignored, and Python then leaves it so: no test of Ctrl-C
    # would end, nor would a daemon that inherits it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.pluginmanager.is_registered(promissory.executor.testing):
        config.pluginmanager.register(promissory.executor.testing, "promissory")
    if config.getoption("--soak"):
        settings.load_profile("soak")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--soak"):
        skipped = pytest.mark.skip(reason="only with --soak")
        for item in items:
            if item.get_closest_marker("soak") is not None:
                item.add_marker(skipped)


@pytest.fixture
def daemons() -> Iterator[Daemons]:
    """Start daemons; none outlives its test."""
    started = Daemons()
    yield started
    started.close()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """No test may have found our folders under the bare names that others' packages may have."""
    if found := sorted({"oplog", "workers", "executor"} & sys.modules.keys()):
        print(f"\nloaded beside promissory: {', '.join(found)}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
