"""What may follow what in one worker's oplog: a life entry by entry, and what each may refer to.

1. A life starts with `Created` and has every index from there on; when it ends only its `Removed` stays, and the next
   `Created` stands at the index after.
2. A call is `Started` in a running invocation and closed once: by `Ended`, by `Abandoned`, or by both in this order
   (the `Ended` was queued when the step ran that gave the call up). Creating a promise is no call that waits.
3. An invocation is `Completed` once, when none of its calls is open; a promise is settled once, then perhaps deleted.
4. A delayed invocation is queued once: by its `Ended`, or by a `Cancelled` that takes its place.
5. The `Created` of a durable promise is a promise; such a worker has no code, so nothing is invoked there.

What a life says is a plain list of problems; `check` adds whose they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from promissory.oplog import entries as e
from promissory.oplog.fold import is_promise
from promissory.oplog.ids import DURABLE_PROMISE, OplogIndex, WorkerId

Problem = tuple[str, str]
"""A kind of damage (`check.Finding`) and what is wrong."""


class Life:
    """What the entries of one worker have said so far, as far as a later one may refer to it."""

    def __init__(self) -> None:
        self.last = 0
        self.is_whole = True
        """False once an entry is missing or unreadable: what refers to it cannot be judged any more."""
        self._is_alive = False
        self._last_timestamp = 0
        self._problems: list[Problem] = []
        self._forget(0)

    def _forget(self, first: int) -> None:
        self._first = first
        self._worker_id: WorkerId | None = None
        self._running = 0
        self._calls: dict[int, e.Started] = {}
        self._closed: dict[int, str] = {}
        self._is_ephemeral = False
        self._promises: dict[int, e.Started | e.Created] = {}
        self._settled: dict[int, str] = {}
        self._invocations: dict[int, e.Invoked] = {}
        self._scheduled: set[int] = set()
        self._completed: set[int] = set()
        self._failed: set[int] = set()
        """The inputs that an `Errored` names."""
        self._outcomes: dict[int, int] = {}
        """The promise or invocation that each `Settled` or `Completed` gives an outcome to."""

    def lose(self, index: int) -> None:
        """Account for an entry that cannot be read."""
        self._is_alive = True
        self.is_whole = False
        self.last = index

    def admit(self, index: int, entry: e.Entry) -> tuple[e.Entry | None, list[Problem]]:
        """Judge the next entry of the worker.

        Returns:
          What the entry refers to, as `fold.apply` wants it, and the problems found, most often none.
        """
        self._problems = []
        self._check_place(index, entry)
        if entry.timestamp < self._last_timestamp:
            self._say("time", f"timestamp {entry.timestamp} is before {self._last_timestamp}")
        self._last_timestamp = max(entry.timestamp, self._last_timestamp)
        rule = _RULES.get(type(entry))
        start: e.Entry | None = None if rule is None else rule(self, index, entry)
        return start, self._problems

    def _say(self, kind: str, message: str) -> None:
        if self.is_whole or kind not in ("reference", "open"):
            self._problems.append((kind, message))

    def _check_place(self, index: int, entry: e.Entry) -> None:
        last, kind = self.last, type(entry)
        self.last = index
        if kind is e.Removed and not self._is_alive and index > last + 1:
            return
        if index != last + 1:
            missing = f"{last + 1}" if index == last + 2 else f"{last + 1} to {index - 1}"
            self._say("gap", f"missing: {missing}")
            self.is_whole = False
            self._is_alive = self._is_alive or kind is not e.Created
        if self._is_alive and kind is e.Created:
            self._say("life", "Created within a life that was not removed")
        elif self._is_alive and kind is e.Removed:
            self._say("life", "the entries of the life that was removed here are still there")
        elif not self._is_alive and kind is not e.Created:
            self._say("life", f"{kind.__name__} outside a life")
            self._is_alive = True
            self.is_whole = False

    def _created(self, index: int, entry: e.Created) -> None:
        self._forget(index)
        self._worker_id = entry.worker_id
        self._is_alive = self.is_whole = True
        if is_promise(entry):
            self._promises[index] = entry

    def _removed(self, index: int, _: e.Removed) -> None:
        self._forget(index)
        self._is_alive = False

    def _invoked(self, index: int, entry: e.Invoked) -> None:
        if (self._invocations or self._completed) and (entry.retention_us is not None or self._is_ephemeral):
            self._say("twice", "an ephemeral worker has one invocation")
        if self._worker_id is not None and self._worker_id.component_id == DURABLE_PROMISE:
            self._say("reference", "a durable promise has no code to invoke")
        self._is_ephemeral = self._is_ephemeral or entry.retention_us is not None
        self._invocations[index] = entry
        if entry.due is not None:
            self._scheduled.add(index)
        if (entry.caller is None) != (entry.caller_start is None):
            self._say("reference", "a caller without its call, or a call without its caller")
        if (entry.caller is None) == (entry.key is None):
            self._say("reference", "a call has its caller for a key, everything else a key")
        self._check_chain(entry)

    def _check_chain(self, entry: e.Invoked) -> None:
        chain = entry.chain
        if not chain:
            return
        if chain[-1] != entry.caller:
            self._say("reference", "the last of those that wait is not the caller")
        if entry.due is not None:
            self._say("reference", "somebody waits for a delayed invocation")
        if len({*chain, self._worker_id}) <= len(chain):
            self._say("reference", "a chain of callers that comes back to one of them")

    def _started(self, index: int, entry: e.Started) -> None:
        invocation = entry.invocation
        if invocation in self._completed:
            self._say("reference", f"invocation {invocation} is completed")
        elif invocation not in self._invocations:
            self._say("reference", f"{invocation} is not an invocation")
        elif invocation in self._scheduled:
            self._say("reference", f"invocation {invocation} is not queued yet")
        elif self._running not in (0, invocation):
            self._say("reference", f"invocation {self._running} runs, not {invocation}")
        self._running = invocation
        if type(entry.request) is e.CreatePromise:
            self._promises[index] = entry
        else:
            self._calls[index] = entry

    def _ended(self, index: int, entry: e.Ended) -> e.Entry | None:
        start = entry.start
        if start in self._scheduled:
            self._scheduled.remove(start)
            return self._invocations.get(start)
        call = self._calls.pop(start, None)
        if call is not None:
            self._closed[start] = "ended"
        elif start in self._closed:
            self._say("twice", f"call {start} has {self._closed[start]} already")
        elif start in self._invocations or start in self._completed:
            self._say("twice", f"invocation {start} is queued already")
        else:
            self._say("reference", f"{start} is not a call that waits")
        if isinstance(entry.outcome, e.SameAs):
            self._check_same(call, entry.outcome.index)
        return call

    def _check_same(self, call: e.Started | None, index: int) -> None:
        subject = self._outcomes.get(index)
        if subject is None:
            self._say("reference", f"{index} has no outcome to share")
        elif call is not None and isinstance(call.request, e.AwaitPromise | e.PollPromise):
            request = call.request
            if request.owner is None and request.promise != subject:
                self._say("reference", f"{index} is the outcome of {subject}, not of {request.promise}")

    def _abandoned(self, index: int, entry: e.Abandoned) -> e.Entry | None:
        call = self._calls.pop(entry.start, None)
        if call is None and entry.start not in self._closed:
            self._say("reference", f"{entry.start} is not a call that waits")
        elif self._closed.get(entry.start) == "abandoned":
            self._say("twice", f"call {entry.start} is abandoned already")
        self._closed[entry.start] = "abandoned"
        return call

    def _finished(self, index: int, entry: e.Completed) -> e.Entry | None:
        invocation = entry.invocation
        invoked = self._invocations.pop(invocation, None)
        if invocation in self._completed:
            self._say("twice", f"invocation {invocation} is completed already")
        elif invoked is None:
            self._say("reference", f"{invocation} is not an invocation")
        elif invocation in self._scheduled:
            self._say("reference", f"invocation {invocation} is not queued yet")
        for start, call in self._calls.items():
            if call.invocation == invocation:
                self._say("open", f"call {start} of invocation {invocation} is still open")
        if self._running == invocation:
            self._running = 0
        self._completed.add(invocation)
        self._outcomes[index] = invocation
        return invoked

    def _settle(self, index: int, entry: e.Settled | e.Deleted) -> e.Entry | None:
        promise = entry.promise
        before = self._settled.get(promise)
        is_deletion = type(entry) is e.Deleted
        if promise not in self._promises:
            self._say("reference", f"{promise} is not a promise")
        elif before == "deleted" or (before is not None and not is_deletion):
            self._say("twice", f"promise {promise} is {before} already")
        self._settled[promise] = "deleted" if is_deletion else "settled"
        if not is_deletion:
            self._outcomes[index] = promise
        return self._promises.get(promise)

    def _cancelled(self, index: int, entry: e.Cancelled) -> e.Entry | None:
        invocation, replaced = entry.invocation, entry.input
        invoked = self._invocations.get(invocation)
        if invoked is None and invocation not in self._completed:
            self._say("reference", f"{invocation} is not an invocation")
        if invocation in self._scheduled:
            self._scheduled.remove(invocation)
            if replaced != invocation:
                self._say("reference", f"invocation {invocation} is not queued yet, and this does not take its place")
        elif replaced is not None and replaced not in self._failed:
            self._say("reference", f"{replaced} is not an input that failed")
        return invoked

    def _errored(self, index: int, entry: e.Errored) -> None:
        self._failed.add(entry.input)
        if entry.input in self._scheduled:
            self._say("reference", f"invocation {entry.input} is not queued yet")
        self._check_before(index, entry.input)

    def _applied(self, index: int, entry: e.Applied) -> None:
        self._check_before(index, entry.through)

    def _snapshotted(self, index: int, entry: e.Snapshotted) -> None:
        if self._running:
            self._say("reference", f"a snapshot while invocation {self._running} runs")
        self._check_ascending(entry.waiting, index)

    def _reverted(self, index: int, entry: e.Reverted) -> None:
        self._check_before(index, entry.to)

    def _trimmed(self, index: int, entry: e.Trimmed) -> None:
        self._check_before(index, entry.below)
        self._check_ascending(entry.kept, entry.below)

    def _delivered(self, index: int, entry: e.Delivered) -> None:
        if entry.start not in self._calls and entry.start not in self._closed:
            self._say("reference", f"{entry.start} is not a call that waits")

    def _check_ascending(self, references: tuple[OplogIndex, ...], end: int) -> None:
        """Check that indices name entries of this life before `end`, each once, in order."""
        last = self._first - 1
        for reference in references:
            if not last < reference < end:
                self._say("reference", f"{reference} is out of order, or not an earlier entry of this life")
            last = reference

    def _check_before(self, index: int, reference: int) -> None:
        if not self._first <= reference < index:
            self._say("reference", f"{reference} is not an earlier entry of this life")


_RULES: dict[type[e.Entry], Callable[[Life, int, Any], e.Entry | None]] = {
    e.Created: Life._created,
    e.Invoked: Life._invoked,
    e.Started: Life._started,
    e.Ended: Life._ended,
    e.Cancelled: Life._cancelled,
    e.Abandoned: Life._abandoned,
    e.Completed: Life._finished,
    e.Snapshotted: Life._snapshotted,
    e.Reverted: Life._reverted,
    e.Trimmed: Life._trimmed,
    e.Delivered: Life._delivered,
    e.Settled: Life._settle,
    e.Deleted: Life._settle,
    e.Errored: Life._errored,
    e.Applied: Life._applied,
    e.Removed: Life._removed,
}
"""The kinds that refer to others, or are referred to."""
