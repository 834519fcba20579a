"""How an operation answers: through a `Reply`, when what the answer rests on is durable, or as a stream of items."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeAlias

import msgspec
import trio

from promissory.executor.operations.accepting import Accepting
from promissory.executor.operations.inspection import Inspection
from promissory.executor.turns.executor import Executor
from promissory.oplog.errors import BadArguments, PromissoryError


class Reply(Protocol):
    """Where the answer to one request goes."""

    peer: str
    """Who asks, for the record."""

    def ok(self, value: Any) -> None:
        """Answer; the last word."""

    def error(self, error: PromissoryError, invocation: str | None = None) -> None:
        """Refuse; the last word."""

    def item(self, value: Any) -> None:
        """Send one item of a stream."""

    async def drained(self) -> None:
        """Wait until the asker has taken enough of what was sent."""

    def on_close(self, callback: Callable[[], None]) -> None:
        """Have something called if the asker goes away before the answer."""


TURN_ROWS = 64
"""How many rows a list looks at in one turn of the event loop."""

Stream: TypeAlias = Callable[[], Awaitable[None]]


Operation: TypeAlias = "tuple[type[msgspec.Struct], Callable[[Any, Reply], Stream | None]]"
"""The fields of an operation, and what performs it."""


class Group:
    """Operations that belong together.

    Args:
      executor: what they operate on.
      accepting: takes invocations in.
      inspection: what is listed and shown.
    """

    def __init__(self, executor: Executor, accepting: Accepting, inspection: Inspection) -> None:
        self._executor = executor
        self._accepting = accepting
        self._inspection = inspection
        self._record = executor.record

    def by_name(self) -> dict[str, Operation]:
        """Return the operations by their names in the protocol."""
        raise NotImplementedError

    def _when_durable(self, reply: Reply, value: Any) -> None:
        self._record.when_durable(lambda failure: reply.ok(value) if failure is None else reply.error(failure))

    def _stream(self, reply: Reply, rows: Iterable[dict[str, Any] | None], limit: int | None) -> Stream:
        """Return what sends rows, up to a limit, and lets others have their turn.

        Args:
          reply: where they go.
          rows: the rows; None stands for one that was looked at and is not asked for.
          limit: how many are sent at most; None: all.

        Raises:
          BadArguments: the limit is negative.
        """
        if limit is not None and limit < 0:
            raise BadArguments(f"limit {limit} is negative")

        async def send() -> None:
            try:
                sent = 0
                for looked_at, row in enumerate(rows, 1):
                    if row is not None:
                        if sent == limit:
                            reply.ok({"more": True})
                            return
                        reply.item(row)
                        sent += 1
                        await reply.drained()
                    if looked_at % TURN_ROWS == 0:
                        await trio.lowlevel.checkpoint()
                reply.ok({"more": False})
            except PromissoryError as error:
                reply.error(error)

        return send
