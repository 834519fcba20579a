"""Finds waits that nobody will end: sets of waiting workers out of which no way leads.

A worker waits for others when calls are all that its running invocation can go on with, none of them under a
deadline; a call that is queued waits for what runs before it, which is the same worker. So the workers are the nodes,
and the calls that are waited for lead from one to the next. A worker that can still go on by anything else (a promise,
a timer, a side effect, a person) is *free*; whoever can reach a free one is not stuck.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


class Unread:
    """Says that a node's ways out are not known before it is read back."""


UNREAD = Unread()

WaysOut = Callable[[T, bool], "Iterable[T] | Unread | None"]
"""Called with a node and whether it may be read back for the answer: the nodes it waits for, None if it is free,
`UNREAD` if that is not known and it may not be read back."""


def stuck(node: T, ways_out: WaysOut[T]) -> list[T] | None:
    """Return the nodes that can be reached from one, itself first, if none of them is free; else None.

    Nodes that must be read back are looked at last, so that most often none is.
    """
    found = {node: None}
    ahead, unread = [node], list[T]()
    while ahead or unread:
        if ahead:
            at, may_read = ahead.pop(), False
        else:
            at, may_read = unread.pop(), True
        ways = ways_out(at, may_read)
        if ways is None:
            return None
        if isinstance(ways, Unread):
            unread.append(at)
            continue
        for way in ways:
            if way not in found:
                found[way] = None
                ahead.append(way)
    return list(found)
