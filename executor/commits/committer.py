"""Group commit: one dedicated thread commits one batch after another, as fast as the disk syncs them.

While the thread puts a batch's rows, the loop waits for it. LMDB's binding lets go of the interpreter lock at every
row; against a busy loop the thread would get it back only once in a switch interval, and a batch of a hundred rows
would take half a second instead of a tenth of a millisecond. The fsync then runs beside the loop.

A batch that nobody waits for, the outcome of a side effect for one, is put off for `LINGER_SECONDS`: most often
somebody comes who does wait, and one sync serves both.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

import structlog
import trio

from promissory.executor.commits.record import Batch, Record
from promissory.oplog.environment import StorePanicked
from promissory.oplog.errors import StoreFailed
from promissory.oplog.tables import Table

Changes: TypeAlias = Mapping[Table, Mapping[bytes, "bytes | None"]]
Done: TypeAlias = Callable[["BaseException | None"], None]
"""Called on the loop, once: with None when the changes are durable, with the error when they are not."""
Submit: TypeAlias = Callable[[Changes, Done], None]
"""Takes changes to commit; never called again before it has called `Done`."""

LINGER_SECONDS = 0.001
BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LONGEST_SECONDS = 10.0


class Commit(Protocol):
    """The seam: make a batch durable, whole, or raise."""

    def __call__(self, changes: Changes, written: Callable[[], None] | None = None) -> None:
        """Return when `changes` are durable; call `written` once the changes are no longer looked at."""


class CommitThread:
    """The thread that commits; it ends with `close`."""

    def __init__(self, commit: Commit) -> None:
        self._commit = commit
        self._token = trio.lowlevel.current_trio_token()
        # Plain locks, released by the other side: a `Semaphore` is a condition in Python, ten times as slow.
        self._go = threading.Lock()
        self._written = threading.Lock()
        self._go.acquire()
        self._written.acquire()
        self._job: tuple[Changes, Done] | None = None
        self._thread = threading.Thread(target=self._run, name="promissory-committer", daemon=True)
        self._thread.start()

    def submit(self, changes: Changes, done: Done) -> None:
        """Hand changes over; returns when their rows are written and only the fsync is left."""
        self._job = changes, done
        self._go.release()
        self._written.acquire()

    def close(self) -> None:
        """End the thread after the commit in flight, if there is one."""
        self._job = None
        self._go.release()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._go.acquire()
            if self._job is None:
                return
            changes, done = self._job
            error = self._commit_one(changes)
            try:
                self._token.run_sync_soon(done, error)
            except trio.RunFinishedError:
                return

    def _commit_one(self, changes: Changes) -> BaseException | None:
        handed_back = False

        def written() -> None:
            nonlocal handed_back
            handed_back = True
            self._written.release()

        try:
            self._commit(changes, written)
        except BaseException as error:
            return error
        finally:
            if not handed_back:
                self._written.release()
        return None


def inline(commit: Commit) -> Submit:
    """Return a `Submit` that commits on the loop, for tests under a clock that does not wait for threads."""

    def submit(changes: Changes, done: Done) -> None:
        try:
            commit(changes)
        except BaseException as error:
            done(error)
        else:
            done(None)

    return submit


class Committer:
    """Takes batches from the record and has them committed, one at a time, whenever the disk is free.

    Args:
      record: where batches come from.
      submit: has one batch committed.
      on_failure: called after a failed commit, when the record has dropped what was not durable; the executor reads
        everything back. Nothing is committed for a backoff after it returns.
      on_backoff_over: called when commits are taken again.
      is_eager: take the next batch the moment that the last is durable, not in the next tick of the loop.
      linger_seconds: how long a batch that nobody waits for is put off.
      observe: told how many seconds each commit took.
    """

    def __init__(
        self,
        record: Record,
        submit: Submit,
        on_failure: Callable[[StoreFailed], None],
        on_backoff_over: Callable[[], None],
        *,
        is_eager: bool = False,
        linger_seconds: float = 0,
        observe: Callable[[float], None] = lambda _: None,
    ) -> None:
        self._record = record
        self._submit = submit
        self._on_failure = on_failure
        self._on_backoff_over = on_backoff_over
        self._is_eager = is_eager
        self.linger_seconds = linger_seconds
        self._observe = observe
        self._submitted = 0.0
        self.after_commit: Callable[[], None] = lambda: None
        """Called when those who waited for a commit have been told, before the next is prepared."""
        self._is_closed = False
        self._work = trio.Event()
        self._committed = trio.Event()
        self._in_flight: Batch | None = None
        self._panic: StorePanicked | None = None
        self._failure: StoreFailed | None = None
        self._failures_count = 0
        self._log = structlog.get_logger("promissory.committer")
        self.is_backing_off = False
        self._resumes_at: float | None = None
        """When the backoff ends, by `trio.current_time`; None before it has begun to count."""

    def backs_off_for(self) -> str:
        """Say how long nothing is committed yet after a failure."""
        if self._resumes_at is None:
            return "it is tried again soon"
        return f"it is tried again in {max(self._resumes_at - trio.current_time(), 0):.1f} s"

    def wake(self) -> None:
        """Say that there is something to commit; it is taken in the loop's next tick, with what else has come."""
        if self._is_eager and self._in_flight is not None:
            return  # it is taken when that one is durable
        if not self._work.is_set():
            self._work.set()

    def flush(self) -> None:
        """Have what somebody waits for committed now, if the disk is free; whole units only: call it between them."""
        if self._hurries():
            self._hand_over()

    def _hurries(self) -> bool:
        """Whether there is more to do than to wait for company."""
        record = self._record
        return bool(record.batch.is_awaited or record.sealed or not self.linger_seconds)

    def _is_idle(self) -> bool:
        """Whether there is nothing to hand over."""
        return not self._record.sealed and self._record.batch.is_empty

    def _hand_over(self) -> None:
        record = self._record
        if self._in_flight is not None or self.is_backing_off or self._panic is not None or self._is_closed:
            return
        record.seal()
        if record.sealed:
            self._in_flight = record.sealed[0]
            self._submitted = time.perf_counter()
            self._submit(self._in_flight.changes, self._done)

    def close(self) -> None:
        """Hand over nothing more: whoever commits is about to end."""
        self._is_closed = True

    async def run(self) -> None:
        """Flush whenever something was appended, until cancelled.

        Raises:
          StorePanicked: the outcome of a commit is unknown; the executor must end.
        """
        while True:
            await self._work.wait()
            self._work = trio.Event()
            # Whoever else is runnable in this tick may still add to the batch.
            await trio.lowlevel.checkpoint()
            if not self._hurries():
                await self._linger()
            if self._panic is not None:
                raise self._panic
            if self._failure is not None:
                await self._back_off(self._failure)
            self._hand_over()

    async def _linger(self) -> None:
        """Give the open batch its time, unless somebody comes to wait for it, or for news of a failure."""
        with trio.move_on_after(self.linger_seconds):
            while not (self._hurries() or self._is_idle() or self._failure or self._panic):
                await self._work.wait()
                self._work = trio.Event()

    def _done(self, error: BaseException | None) -> None:
        """Account for the batch in flight and take the next."""
        batch, self._in_flight = self._in_flight, None
        assert batch is not None
        if error is None:
            self._failures_count = 0
            self._observe(time.perf_counter() - self._submitted)
            self._record.committed(batch)
            committed, self._committed = self._committed, trio.Event()
            committed.set()
            self.after_commit()
            if self._is_eager:
                self.flush()
            if self._in_flight is None and not self._is_idle():
                self._work.set()
            return
        if isinstance(error, StorePanicked):
            self._log.critical("store_panicked", error=str(error))
            self._panic = error
        else:
            failure = error if isinstance(error, StoreFailed) else StoreFailed(f"commit failed: {error}")
            failure.__cause__ = None if failure is error else error
            self.is_backing_off = True
            self._failure = failure
            self._record.failed(failure)
            self._on_failure(failure)
        self._work.set()

    async def _back_off(self, failure: StoreFailed) -> None:
        """Commit nothing for a while, longer after each failure in a row."""
        self._failure = None
        seconds = min(BACKOFF_FIRST_SECONDS * math.pow(2, self._failures_count), BACKOFF_LONGEST_SECONDS)
        self._failures_count += 1
        self._log.error("commit_failed", error=str(failure), retry_seconds=seconds)
        self._resumes_at = trio.current_time() + seconds
        await trio.sleep_until(self._resumes_at)
        self._resumes_at = None
        self.is_backing_off = False
        self._on_backoff_over()

    async def next_commit(self) -> None:
        """Wait until something more is durable than now."""
        await self._committed.wait()

    async def drain(self) -> None:
        """Wait until nothing is left to commit."""
        while self._in_flight is not None or not self._is_idle():
            self._record.batch.is_awaited = True
            self._work.set()
            await self._committed.wait()
