"""The boundary around every event: what goes wrong in one ends neither the daemon nor anybody else's work.

An event (a request, a turn, a timer, an effect's outcome, an answer, a wake-up) appends one unit. If an exception
leaves it the unit is dropped. Where a damaged entry is the cause, the worker that owns the entry is paused, with an
error that names it and the index, once; every other exception is a fault of ours, and the log says so with its
traceback.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from promissory.executor.commits.record import Record
from promissory.executor.residents.failures import Failures
from promissory.executor.residents.residents import Residents
from promissory.oplog.errors import OplogError


class Boundary:
    """Handles events, and pauses the workers whose entries turn out to be damaged.

    Args:
      record, residents, failures: of the executor.
    """

    def __init__(self, record: Record, residents: Residents, failures: Failures) -> None:
        self._record = record
        self._residents = residents
        self._failures = failures
        self._log = structlog.get_logger("promissory.boundary")

    def handle(self, event: str, act: Callable[[], None]) -> bool:
        """Handle an event that nobody waits for, as a unit.

        Args:
          event: what it is, for the log.
          act: handles it.

        Returns:
          Whether it was handled; if not, nothing of it is kept.
        """
        try:
            with self._record.unit():
                act()
        except Exception as error:
            if not self.pause_owner(error):
                self._log.exception("event_failed", event_kind=event)
            return False
        return True

    def pause_owner(self, error: BaseException) -> bool:
        """Pause the worker that a damaged entry belongs to, unless it is stopped; call it when the unit is dropped.

        Returns:
          Whether the error is about an entry whose worker is known.
        """
        if not isinstance(error, OplogError) or error.ordinal is None:
            return False
        owner = self._residents.get(error.ordinal)
        if owner is None:
            return False
        error.worker = error.worker or owner.path
        if owner.row.life:
            owner.unload()
            self._failures.unreadable(owner, error, 0)
        return True
