"""What the crash tests share: their seed, and one generation of rounds or, with --soak, ten."""

from __future__ import annotations

import os
import secrets

import pytest

SOAK_GENERATIONS = 10


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "generation" in metafunc.fixturenames:
        soak = metafunc.config.getoption("--soak", default=False)
        metafunc.parametrize("generation", range(SOAK_GENERATIONS if soak else 1))


@pytest.fixture
def seed(generation: int) -> int:
    """Return the seed of all that is random, printed; PROMISSORY_CRASH_SEED repeats one."""
    given = os.environ.get("PROMISSORY_CRASH_SEED")
    chosen = secrets.randbits(32) if given is None else int(given) + generation
    print(f"PROMISSORY_CRASH_SEED={chosen - generation if given is not None else chosen}, generation {generation}")
    return chosen
