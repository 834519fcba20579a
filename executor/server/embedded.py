"""An executor inside the caller's own trio program: the daemon's, composed without a socket.

async with promissory.open("data", components=[Approval]) as client:
    await client.invoke("worker://approval/order-7", "submit", {"order_id": "7"})
"""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import trio

from promissory.executor.client.methods import Asker
from promissory.executor.config import Config
from promissory.executor.operations import Operations
from promissory.executor.protocol.errors import error_from_wire, error_to_wire
from promissory.executor.turns.executor import Executor, running
from promissory.oplog.errors import Disconnected, PromissoryError
from promissory.workers.definition import Worker

UNREAD_ITEMS_MAX = 64
"""Beyond this a stream waits until its items are taken."""


class _Reply:
    """The answer to one request made in this process."""

    def __init__(self, peer: str, on_item: Callable[[Any], None] | None) -> None:
        self.peer = peer
        self.answered = trio.Event()
        self.value: Any = None
        self.failure: BaseException | None = None
        self._on_item = on_item
        self._on_close: Callable[[], None] | None = None

    def ok(self, value: Any) -> None:
        if not self.answered.is_set():
            self.value = value
            self.answered.set()

    def error(self, error: PromissoryError, invocation: str | None = None) -> None:
        # One error may go to many who wait; each gets its own, as over a socket.
        self.fail(error_from_wire(error_to_wire(error, invocation=invocation)))

    def fail(self, failure: BaseException) -> None:
        """End the wait with an exception."""
        if not self.answered.is_set():
            self.failure = failure
            self.answered.set()

    def item(self, value: Any) -> None:
        if self._on_item is None or self.answered.is_set():
            return
        try:
            self._on_item(value)
        except Exception as error:  # it is the asker's own function: its error is the asker's to see
            self.fail(error)

    async def drained(self) -> None:
        await trio.lowlevel.checkpoint()

    def on_close(self, callback: Callable[[], None]) -> None:
        self._on_close = callback

    def close(self) -> None:
        """Say that nobody waits for the answer any more."""
        if self._on_close is not None:
            self._on_close()


class Items:
    """The items of one streaming operation, as an async iterator; it is closed at its end and by `async with`."""

    def __init__(self, asker: Embedded, op: str, fields: dict[str, Any]) -> None:
        self._asker = asker
        self._op = op
        self._fields = fields
        self._unread: deque[Any] = deque()
        self._changed = trio.Event()
        self._scope: trio.CancelScope | None = None
        self._failure: BaseException | None = None
        self._is_ended = False
        self.value: Any = None
        """What the executor answered at the end of the items."""

    def __aiter__(self) -> Items:
        return self

    async def __aenter__(self) -> Items:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __anext__(self) -> Any:
        """Wait for the next item.

        Raises:
          PromissoryError: the executor's error.
        """
        if self._scope is None and not self._is_ended:
            self._scope = trio.CancelScope()
            self._asker.nursery.start_soon(self._run, self._scope)
        while not self._unread and not self._is_ended:
            self._changed = trio.Event()
            await self._changed.wait()
        if self._unread:
            item = self._unread.popleft()
            self._changed.set()
            return item
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop the operation; items that were not taken are dropped."""
        self._is_ended = True
        self._unread.clear()
        if self._scope is not None:
            self._scope.cancel()
        await trio.lowlevel.checkpoint()

    def _take(self, item: Any) -> None:
        self._unread.append(item)
        self._changed.set()

    async def _drained(self) -> None:
        await trio.lowlevel.checkpoint()
        while len(self._unread) >= UNREAD_ITEMS_MAX and not self._is_ended:
            self._changed = trio.Event()
            await self._changed.wait()

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            try:
                self.value = await self._asker.ask(self._op, self._fields, self._take, self._drained)
            except Exception as error:
                self._failure = error
        self._is_ended = True
        self._changed.set()


class Embedded(Asker):
    """What `open` yields: the methods of `executor.client.Client`, on an executor in this process.

    Args:
      executor: the executor; started by whoever made it.
      nursery: where streams run.
      peer: the name under which the record has what is done from here.
    """

    def __init__(self, executor: Executor, nursery: trio.Nursery, peer: str = "embedded") -> None:
        self.executor = executor
        self.nursery = nursery
        self._operations = Operations(executor)
        self._peer = peer
        self._waiting: set[_Reply] = set()
        self._is_closed = False

    async def request(self, op: str, /, *, on_item: Callable[[Any], None] | None = None, **fields: Any) -> Any:
        """Perform an operation and return its value; see `Asker.request`."""
        return await self.ask(op, fields, on_item)

    def stream(self, op: str, /, **fields: Any) -> Items:
        """Return the items of a streaming operation; use it as `async with`, or `async for` to its end."""
        return Items(self, op, fields)

    async def ask(
        self,
        op: str,
        fields: dict[str, Any],
        on_item: Callable[[Any], None] | None,
        drained: Callable[[], Any] | None = None,
    ) -> Any:
        """Perform an operation; `drained` is awaited by one that streams before it goes on."""
        if self._is_closed:
            raise Disconnected("the executor has ended")
        reply = _Reply(self._peer, on_item)
        if drained is not None:
            reply.drained = drained  # type: ignore[method-assign]
        self._waiting.add(reply)
        try:
            stream = self._operations.perform(op, fields, reply)
            if stream is not None:
                await stream()
            else:
                # Now, as for a request on the socket: so an invocation and its result share a commit.
                self.executor.run_ready()
            await reply.answered.wait()
        finally:
            self._waiting.discard(reply)
            reply.close()
        if reply.failure is not None:
            raise reply.failure
        return reply.value

    def close(self, why: str = "the executor has ended") -> None:
        """End every wait with `Disconnected`; what was asked for goes on or is read back."""
        self._is_closed = True
        for reply in list(self._waiting):
            reply.fail(Disconnected(why))


@asynccontextmanager
async def open(  # noqa: A001 - used as `promissory.open`
    data: str | Path, *, components: Sequence[type[Worker]] = (), config: Config | None = None
) -> AsyncIterator[Embedded]:
    """Run an executor on a data directory in this trio program, for as long as the `async with` lasts.

    At its end, by an error and by cancellation too, the executor stops in order: no new steps, `run`s in flight get
    the grace, everything appended is committed.

    Args:
      data: the data directory; made if it does not exist.
      components: the worker classes to serve.
      config: limits; the defaults if not given.

    Warns:
      RuntimeWarning: `PYTHONHASHSEED` is not 0, so sets of strings have another order in the next process.

    Raises:
      Locked: another executor has the directory.
      BadHandler: a class cannot be served.
      NewerFormat, StoreFailed: the directory cannot be opened.
    """
    if sys.flags.hash_randomization:
        warnings.warn(
            "PYTHONHASHSEED is not 0: a handler that iterates over a set of strings will not replay in another process",
            RuntimeWarning,
            stacklevel=3,
        )
    failure: BaseException | None = None
    end = trio.Event()
    async with trio.open_nursery() as nursery:
        embedded: Embedded | None = None
        try:
            embedded = await nursery.start(_live, Path(data), list(components), config or Config(), end)
            yield embedded
        except trio.Cancelled:
            raise
        except BaseException as error:
            # Raised again outside, so that what the body raises does not come out wrapped in a group.
            failure = _only(error)
        finally:
            if embedded is not None:
                embedded.close()
            end.set()
    if failure is not None:
        try:
            raise failure
        finally:
            failure = None


async def _live(
    data: Path,
    components: list[type[Worker]],
    config: Config,
    end: trio.Event,
    task_status: trio.TaskStatus[Embedded] = trio.TASK_STATUS_IGNORED,
) -> None:
    # Shielded: cancelling the caller's program ends the executor in order too, within its grace.
    with trio.CancelScope(shield=True):
        async with running(data, config) as executor, trio.open_nursery() as streams:
            executor.registry.add(components)
            executor.start()
            task_status.started(Embedded(executor, streams))
            await end.wait()
            streams.cancel_scope.cancel()


def _only(error: BaseException) -> BaseException:
    """Return the one error within groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
