"""The side effects of the corpus, and how often each was performed or attempted."""

from __future__ import annotations

from collections import Counter

import trio

from promissory.oplog.errors import TerminalError

performed: Counter[str] = Counter()
attempted: Counter[str] = Counter()


def effect(tag: str) -> str:
    performed[tag] += 1
    return f"did {tag}"


async def slow_effect(tag: str) -> str:
    await trio.sleep(0.5)
    performed[tag] += 1
    return f"did {tag} slowly"


def flaky_effect(tag: str) -> str:
    attempted[tag] += 1
    if attempted[tag] % 3:
        raise OSError("not yet")
    performed[tag] += 1
    return f"did {tag} at last"


def hopeless_effect(tag: str) -> str:
    raise TerminalError(f"cannot do {tag}")
