"""What one live step did, or why it did nothing."""

from __future__ import annotations

import msgspec

from promissory.oplog.entries import Entry
from promissory.oplog.errors import WorkerError, say
from promissory.oplog.ids import OplogIndex, WorkerId


class Step(msgspec.Struct, frozen=True):
    """What one live step did."""

    input: OplogIndex
    """The entry that the step was for; an invocation's own for its beginning."""
    outputs: list[Entry]
    """To be appended right after the base index, in this order."""
    logs: list[tuple[str, str]]
    """Levels and messages, to be noted after the outputs."""
    cancels: list[OplogIndex]
    """Calls that the step gave up because of a `Cancelled`: what they invoked is to be cancelled as well."""


class StepFailed(WorkerError):
    """A live step raised: nothing it did counts and its player is dead. `cause` is what was raised."""

    kind = "step_failed"

    def __init__(self, worker: WorkerId, index: OplogIndex, cause: BaseException) -> None:
        super().__init__(say(cause), worker=str(worker), index=index)
        self.input = index
        self.cause = cause
