"""The entries of an oplog, as plain frozen values: no behaviour, no clock.

An entry has one of five roles. An *input* is what happened to the worker, an *output* what it did, a *note* what its
machine never sees, an *order* is read by the replayer before it starts, a *snapshot* is applied where it stands.
Timestamps are microseconds since 1970, UTC.

They are `msgspec.Struct`s rather than attrs classes because replay builds one for each entry it reads: a struct
costs a tenth of a frozen attrs instance, and the same declaration gives its bytes (`codec`, FORMAT.md) and checks
every field of what is read. Fields are never reordered or removed, and one that is added comes last and has a default;
`tag` is the number of the kind in the record.
"""

from __future__ import annotations

import enum
from typing import ClassVar, TypeAlias

from promissory.oplog.ids import WorkerId
from promissory.oplog.values import (
    Ask,
    AwaitPromise,
    Call,
    CompletePromise,
    Count,
    CreatePromise,
    DeletePromise,
    Failure,
    Index,
    NamedPromise,
    Outcome,
    Packed,
    PollPromise,
    RejectPromise,
    Request,
    Run,
    SameAs,
    Send,
    SettleAwakeable,
    Sleep,
    Value,
)

__all__ = (
    "Abandoned",
    "AnyEntry",
    "Applied",
    "Ask",
    "AwaitPromise",
    "Call",
    "Cancelled",
    "CompletePromise",
    "Completed",
    "Count",
    "CreatePromise",
    "Created",
    "DeletePromise",
    "Deleted",
    "Delivered",
    "Ended",
    "Entry",
    "Errored",
    "Failure",
    "Index",
    "Interrupted",
    "Invoked",
    "Logged",
    "NamedPromise",
    "Outcome",
    "Packed",
    "PollPromise",
    "RejectPromise",
    "Removed",
    "Request",
    "Resumed",
    "Reverted",
    "Role",
    "Run",
    "SameAs",
    "Send",
    "SettleAwakeable",
    "Settled",
    "Sleep",
    "Snapshotted",
    "Started",
    "Trimmed",
    "Updated",
    "Value",
)


class Role(enum.Enum):
    """What an entry is to the machine of its worker."""

    INPUT = "input"
    OUTPUT = "output"
    NOTE = "note"
    ORDER = "order"
    SNAPSHOT = "snapshot"


class Entry(Packed, frozen=True):
    """One record of an oplog."""

    role: ClassVar[Role]
    timestamp: Count


class Created(Entry, frozen=True, tag=1):
    """A life of the worker begins; the first entry of it.

    That of a worker of the component `durable-promise` is a promise, the one of that name.
    """

    role = Role.INPUT
    worker_id: WorkerId
    component_version: Count
    args: bytes
    """JSON array: the constructor's arguments; of a durable promise its deadline, if it has one."""
    env: dict[str, str]
    parent: WorkerId | None
    seed: bytes
    """32 random bytes: the root of all the worker's randomness; shown masked."""
    state: bytes | None = None
    """JSON: the fields as the constructor made them; None: replay calls the constructor with `args`."""
    semantics: Count = 0
    """The number of the order of steps that this life replays by."""


class Invoked(Entry, frozen=True, tag=2):
    """A handler is to be called; its index is the invocation."""

    role = Role.INPUT
    function: str
    params: bytes
    """JSON array."""
    key: str | None
    """The idempotency key; None for a call, whose key is its caller."""
    caller: WorkerId | None
    caller_start: Index | None
    """The caller's worker and the index of its `Started`."""
    chain: tuple[WorkerId, ...]
    """The workers that wait, directly or not, for this invocation; the nearest last."""
    due: Count | None
    """When a delayed invocation is to be queued."""
    retention_us: Count | None = None
    """For the one invocation of an ephemeral worker: how long after its end the worker is removed."""
    trace: str | None = None
    """The trace that it belongs to, as the W3C header `traceparent`; None: none."""


class Started(Entry, frozen=True, tag=3):
    """A host call begins; its index is the call's identity."""

    role = Role.OUTPUT
    invocation: Index
    request: Request


class Ended(Entry, frozen=True, tag=4):
    """A host call, or the delay of an `Invoked`, has an outcome."""

    role = Role.INPUT
    start: Index
    outcome: Value | Failure | SameAs
    began: Count | None = None
    """Of a `run`: when the attempt that this is the outcome of began."""
    attempts: Count = 1
    """Of a `run`: how often it was attempted."""
    last_error: str | None = None
    """Of a `run`: the error of the attempt before the last."""


class Cancelled(Entry, frozen=True, tag=5):
    """An invocation is to be cancelled.

    `input` is the failing input whose place this takes, or the invocation itself if its delay has not passed: this then
    queues it, and it completes without having begun.
    """

    role = Role.INPUT
    invocation: Index
    input: Index | None


class Abandoned(Entry, frozen=True, tag=6):
    """Nobody waits for this host call any more."""

    role = Role.OUTPUT
    start: Index


class Completed(Entry, frozen=True, tag=7):
    """An invocation has its outcome."""

    role = Role.OUTPUT
    invocation: Index
    outcome: Outcome


class Snapshotted(Entry, frozen=True, tag=8):
    """The state of a worker between two invocations: replay begins with `Created` and the last of these."""

    role = Role.SNAPSHOT
    component_version: Count
    """Of the class whose state it is."""
    state: bytes
    """JSON: the fields."""
    waiting: tuple[Index, ...] = ()
    """The inputs before this that are still to take effect, in order."""


class Updated(Entry, frozen=True, tag=9):
    """What lies after the last snapshot is replayed by another version of the code, and `version()` is it there."""

    role = Role.ORDER
    component_version: Count


class Reverted(Entry, frozen=True, tag=10):
    """A person took the worker back to what it was after the entry `to`; the `Snapshotted` of then stands in the unit.

    No replay crosses it.
    """

    role = Role.NOTE
    to: Index
    by: str
    reason: str = ""


class Settled(Entry, frozen=True, tag=11):
    """A promise of this worker has its outcome; `by` names who gave it and may ask again."""

    role = Role.NOTE
    promise: Index
    outcome: Outcome
    by: str


class Deleted(Entry, frozen=True, tag=12):
    """A promise of this worker is gone."""

    role = Role.NOTE
    promise: Index
    by: str


class Errored(Entry, frozen=True, tag=13):
    """A step failed; `next_attempt` is None when the worker is paused."""

    role = Role.NOTE
    input: Index
    attempt: Count
    error: str
    traceback: str
    next_attempt: Count | None


class Interrupted(Entry, frozen=True, tag=14):
    """A person stopped the worker."""

    role = Role.NOTE
    by: str
    reason: str = ""


class Resumed(Entry, frozen=True, tag=15):
    """A person let the worker go on."""

    role = Role.NOTE
    by: str
    reason: str = ""


class Logged(Entry, frozen=True, tag=16):
    """A line that the worker logged."""

    role = Role.NOTE
    level: str
    message: str


class Removed(Entry, frozen=True, tag=17):
    """The life of the worker that ends here was deleted; all that is left of it is this."""

    role = Role.NOTE
    worker_id: WorkerId
    by: str
    reason: str = ""


class Applied(Entry, frozen=True, tag=18):
    """Every input up to `through` has been applied, the last of them without an output.

    A step that produces nothing leaves no trace of its own; this one tells a waiting worker from one with work to do
    without replaying it. Appended when a worker comes to rest and its outputs do not say so already.
    """

    role = Role.NOTE
    through: Index


class Trimmed(Entry, frozen=True, tag=19):
    """The entries below an index are gone, or going, but for some."""

    role = Role.NOTE
    below: Index
    kept: tuple[Index, ...]
    """Those below that stay, in order; `Created` is one of them."""


class Delivered(Entry, frozen=True, tag=20):
    """Another shard has the request of this `Started` durably."""

    role = Role.NOTE
    start: Index


AnyEntry: TypeAlias = (
    Created
    | Invoked
    | Started
    | Ended
    | Cancelled
    | Abandoned
    | Completed
    | Snapshotted
    | Updated
    | Reverted
    | Settled
    | Deleted
    | Errored
    | Interrupted
    | Resumed
    | Logged
    | Removed
    | Applied
    | Trimmed
    | Delivered
)
"""Every kind of entry, as the decoder knows them."""
