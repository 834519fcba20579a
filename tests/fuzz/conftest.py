"""What the fuzz tests share: a daemon that must survive them all unchanged, and seeded randomness."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from promissory.executor.cli.offline import verify
from tests.daemons import Daemons
from tests.fuzz.target import Target

HERE = Path(__file__).resolve().parent


@pytest.fixture
def rng() -> random.Random:
    """Return randomness whose seed is printed; PROMISSORY_FUZZ_SEED repeats one."""
    seed = int(os.environ.get("PROMISSORY_FUZZ_SEED", secrets.randbits(32)))
    print(f"PROMISSORY_FUZZ_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="module")
def shared_target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    daemons = Daemons()
    data = tmp_path_factory.mktemp("fuzz") / "data"
    try:
        daemon = daemons.start(data, "fuzz_workers", cwd=HERE, environment={"PROMISSORY_IDLE_SECONDS": "1"})
        yield Target(daemon.serving())
        assert daemon.stop() == 0
        assert list(verify(data)) == []
    finally:
        daemons.close()


@pytest.fixture
def target(shared_target: Target) -> Iterator[Target]:
    """Give the daemon to a test; it must be well, and as large as before, when the test ends."""
    before = shared_target.measure()
    yield shared_target
    shared_target.is_well()
    shared_target.settles(before)
