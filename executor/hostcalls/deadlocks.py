"""Ends waits that nobody else would end: calls of workers that wait for one another and for nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from promissory.executor.commits.record import Record
from promissory.executor.hostcalls.calls import Calls
from promissory.executor.hostcalls.cycles import UNREAD, Unread, stuck
from promissory.executor.residents.residents import Activation, Residents
from promissory.oplog.errors import CallCycleError
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.oplog.tables import Condition
from promissory.workers.machine.ending import failure_of


class Deadlocks:
    """Looks at workers that come to rest waiting for calls; every method appends within the unit at hand."""

    def __init__(self, record: Record, residents: Residents, calls: Calls) -> None:
        self._record = record
        self._residents = residents
        self._calls = calls
        self.read_back: Callable[[Activation], bool] = lambda _: False
        """Replays a worker to its end now and says whether it could; the engine sets it."""
        self.unread: set[int] = set()
        """Workers that could not be looked at, for want of their components."""

    def look(self, activation: Activation) -> None:
        """End the newest call of a worker that waits, with others, for each other and for nothing else.

        Called when such a wait may have begun or narrowed: when the worker comes to rest.
        """
        assert activation.player is not None
        waited = activation.player.waited_calls
        if waited is None:
            return
        targets = self._targets(activation, waited)
        # Most often a call has just been made, and whom it went to is about to take it.
        if targets is None or any(one.player is not None and one.player.ready for one in targets):
            return
        ordinals = stuck(activation.ordinal, self._ways_out)
        if ordinals is not None:
            found = filter(None, map(self._residents.get, ordinals))
            paths = " -> ".join(one.path for one in (*found, activation))
            error = CallCycleError(f"the call would wait for itself: {paths}", 409)
            self._calls.end(activation, waited[-1][0], failure_of(error))

    def look_again(self, activation: Activation) -> None:
        """Look at a worker that a person let go on: while it was stopped it counted as one that can go on."""
        row = activation.row
        if row.condition is Condition.NONE and row.running and not row.is_runnable:
            is_loaded = activation.is_loaded or self.read_back(activation)
            if is_loaded and activation.player is not None and not activation.player.ready:
                self.look(activation)

    def look_at_unread(self) -> None:
        """Look at the workers that counted as free because their components were unavailable: some may be no more."""
        unread, self.unread = self.unread, set()
        for activation in filter(None, map(self._residents.get, sorted(unread))):
            with self._record.unit():
                self.look_again(activation)

    def _ways_out(self, ordinal: int, may_read: bool) -> Iterable[int] | Unread | None:
        """Return the workers that one waits for; None if it can go on without them."""
        activation = self._residents.get(ordinal)
        if activation is None or not activation.row.life or activation.row.condition is not Condition.NONE:
            return None
        if not activation.is_loaded:
            if activation.row.is_runnable or not activation.row.running:
                return None
            if not may_read:
                return UNREAD
            if not self.read_back(activation):
                return None
        player = activation.player
        assert player is not None
        if player.ready:
            # Inputs without outputs, as a replay leaves them: it is looked at once it has applied them.
            self._residents.push(activation)
            return None
        waited = player.waited_calls
        if waited is None:
            return None
        targets = self._targets(activation, waited)
        return None if targets is None else [target.ordinal for target in targets]

    def _targets(self, caller: Activation, waited: Iterable[tuple[OplogIndex, WorkerId]]) -> list[Activation] | None:
        """Return the workers that calls went to; None if one of them is gone."""
        own = caller.row.worker_id
        found = []
        for start, worker in waited:
            target = self._calls.target(own, start, worker)
            if target is None:
                return None
            found.append(target)
        return found
