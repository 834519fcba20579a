"""Group commit: one dedicated thread commits one batch after another, as fast as the disk syncs them.

While the thread puts a batch's rows, the loop waits for it. LMDB's binding lets go of the interpreter lock at every
row; against a busy loop the thread would get it back only once in a switch interval, and a batch of a hundred rows
would take half a second instead of a tenth of a millisecond. The fsync then runs beside the loop.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

import structlog
import trio

from executor.record import Batch, Record
from oplog.environment import StorePanicked
from oplog.errors import StoreFailed
from oplog.tables import Table

Changes: TypeAlias = Mapping[Table, Mapping[bytes, "bytes | None"]]

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LONGEST_SECONDS = 10.0


class Commit(Protocol):
    """The seam: make a batch durable, whole, or raise."""

    def __call__(self, changes: Changes, written: Callable[[], None] | None = None) -> None:
        """Return when `changes` are durable; call `written` once the changes are no longer looked at."""


class CommitThread:
    """The thread that commits. `commit` may be awaited by one task at a time."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._token = trio.lowlevel.current_trio_token()
        self._go = threading.Semaphore(0)
        self._written = threading.Semaphore(0)
        self._changes: Changes | None = None
        self._error: BaseException | None = None
        self._done = trio.Event()
        self._thread = threading.Thread(target=self._run, name="promissory-committer", daemon=True)
        self._thread.start()

    async def commit(self, changes: Changes) -> None:
        """Commit in the thread; shielded from cancellation, since what is handed over cannot be taken back.

        Raises:
          StoreFailed, StorePanicked: as `oplog.environment.Environment.commit`.
        """
        self._changes = changes
        self._error = None
        self._done = trio.Event()
        self._go.release()
        self._written.acquire()
        with trio.CancelScope(shield=True):
            await self._done.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread; no commit may be in flight."""
        self._changes = None
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            if self._changes is None:
                return
            handed_back = False

            def written() -> None:
                nonlocal handed_back
                handed_back = True
                self._written.release()

            try:
                self._commit(self._changes, written)
            except BaseException as error:
                self._error = error
            if not handed_back:
                self._written.release()
            try:
                self._token.run_sync_soon(self._done.set)
            except trio.RunFinishedError:
                return


def inline(commit: Commit) -> Callable[[Changes], Awaitable[None]]:
    """Return a `commit` that runs on the loop, for tests under a clock that does not wait for threads."""

    async def run(changes: Changes) -> None:
        commit(changes)

    return run


class Committer:
    """Takes batches from the record and has them committed, one at a time.

    Args:
      record: where batches come from.
      commit: makes one batch durable.
      on_failure: called after a failed commit, when the record has dropped what was not durable; the executor reads
        everything back. Nothing is committed for a backoff after it returns.
      on_backoff_over: called when commits are taken again.
    """

    def __init__(
        self,
        record: Record,
        commit: Callable[[Changes], Awaitable[None]],
        on_failure: Callable[[StoreFailed], None],
        on_backoff_over: Callable[[], None],
    ) -> None:
        self._record = record
        self._commit = commit
        self._on_failure = on_failure
        self._on_backoff_over = on_backoff_over
        self._work = trio.Event()
        self._idle = trio.Event()
        self._committed = trio.Event()
        self._failures_count = 0
        self._log = structlog.get_logger("promissory.committer")
        self.is_backing_off = False

    def wake(self) -> None:
        """Say that there is something to commit."""
        self._work.set()

    async def run(self) -> None:
        """Commit until cancelled.

        Raises:
          StorePanicked: the outcome of a commit is unknown; the executor must end.
        """
        record = self._record
        while True:
            if record.batch.is_empty and not record.sealed:
                self._idle.set()
                await self._work.wait()
                self._idle = trio.Event()
            self._work = trio.Event()
            # Whoever else is runnable in this tick may still add to the batch.
            await trio.lowlevel.cancel_shielded_checkpoint()
            record.seal()
            if not record.sealed:
                continue
            await self._commit_one(record.sealed[0])

    async def _commit_one(self, batch: Batch) -> None:
        try:
            await self._commit(batch.changes)
        except StorePanicked:
            self._log.critical("store_panicked")
            raise
        except StoreFailed as error:
            await self._fail(error)
        except Exception as error:
            failure = StoreFailed(f"commit failed: {error}")
            failure.__cause__ = error
            await self._fail(failure)
        else:
            self._failures_count = 0
            self._record.committed(batch)
            if self._committed.statistics().tasks_waiting:
                committed, self._committed = self._committed, trio.Event()
                committed.set()

    async def next_commit(self) -> None:
        """Wait until something more is durable than now."""
        await self._committed.wait()

    async def _fail(self, error: StoreFailed) -> None:
        seconds = min(BACKOFF_FIRST_SECONDS * math.pow(2, self._failures_count), BACKOFF_LONGEST_SECONDS)
        self._failures_count += 1
        self._log.error("commit_failed", error=str(error), retry_seconds=seconds)
        self.is_backing_off = True
        self._record.failed(error)
        self._on_failure(error)
        await trio.sleep(seconds)
        self.is_backing_off = False
        self._on_backoff_over()

    async def drain(self) -> None:
        """Wait until nothing is left to commit."""
        while not (self._record.batch.is_empty and not self._record.sealed):
            self._work.set()
            await self._idle.wait()
            await trio.lowlevel.checkpoint()
