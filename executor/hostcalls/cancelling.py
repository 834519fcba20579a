"""Cancelling an invocation, scheduled, queued or running, and with it the calls that it waits for."""

from __future__ import annotations

from promissory.executor.commits.record import Record
from promissory.executor.hostcalls.calls import Calls
from promissory.executor.residents.failures import Failures
from promissory.executor.residents.residents import Activation, Residents
from promissory.oplog import entries as e
from promissory.oplog.ids import OplogIndex
from promissory.oplog.tables import Condition, PromiseState


class Cancelling:
    """Cancels invocations; every method appends within the unit at hand."""

    def __init__(self, record: Record, residents: Residents, failures: Failures, calls: Calls) -> None:
        self._record = record
        self._residents = residents
        self._failures = failures
        self._calls = calls

    def cancel(self, activation: Activation, invocation: OplogIndex, by: str) -> bool:
        """Have an invocation find `Cancelled` at its await, or end before it begins.

        One that keeps failing, paused ones included, is cancelled at the input that fails, and its worker goes on. A
        worker that a person interrupted applies the cancellation once it is resumed. Cancelling twice completes the
        invocation without asking its handler.

        Args:
          activation: the worker.
          invocation: the index of the `Invoked`.
          by: who cancels.

        Returns:
          False if the invocation had completed before.
        """
        row = self._record.promise_row(activation.ordinal, invocation)
        if row is None or row.is_settled:
            return False
        failing = self._failing_input(activation, invocation)
        in_place_of = invocation if row.state is PromiseState.SCHEDULED else failing
        self._residents.deliver(activation, e.Cancelled(self._record.now(), invocation, in_place_of))
        if failing is not None and activation.row.condition is not Condition.INTERRUPTED:
            self._failures.resumed(activation, by)
        return True

    def cancel_call(self, caller: Activation, start: OplogIndex, request: e.Call) -> None:
        """Cancel the invocation that a call made, since its caller was cancelled while it waited for it."""
        found = self._calls.find(caller.row.worker_id, start, request)
        if found is not None:
            self.cancel(*found, by=caller.path)

    def _failing_input(self, activation: Activation, invocation: OplogIndex) -> OplogIndex | None:
        """Return the input in whose step the invocation keeps failing, if it does."""
        row = activation.row
        if not row.errored or invocation not in (row.errored_input, row.running):
            return None
        return OplogIndex(row.errored_input)
