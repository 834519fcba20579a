"""The entries of an oplog, as plain frozen values: no behaviour, no clock.

An entry has one of four roles. An *input* is what happened to the worker, an *output* what it did, a *note* what its
machine never sees, an *order* is read by the replayer before it starts. Timestamps are microseconds since 1970, UTC.

They are `msgspec.Struct`s rather than attrs classes because replay builds one for each entry it reads: a struct
costs a tenth of a frozen attrs instance, and the same declaration gives its bytes (`codec`, FORMAT.md) and checks
every field of what is read. Fields are never reordered or removed, and one that is added comes last and has a default;
`tag` is the number of the kind in the record.
"""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar, TypeAlias

import msgspec

from promissory.oplog.ids import INDEX_MAX, OplogIndex, WorkerId


class Role(enum.Enum):
    """What an entry is to the machine of its worker."""

    INPUT = "input"
    OUTPUT = "output"
    NOTE = "note"
    ORDER = "order"


class Packed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A value that is written as an array: its tag, then its fields in order."""


Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=INDEX_MAX)]
Index: TypeAlias = Annotated[OplogIndex, msgspec.Meta(ge=1, le=INDEX_MAX)]


class Value(Packed, frozen=True, tag=0):
    """An outcome that is a value: JSON text, a promise's payload as it is, or nothing."""

    data: bytes | None


class Failure(Packed, frozen=True, tag=1):
    """An outcome that is a terminal error, by the kind that `errors.terminal_error` knows."""

    kind: str
    message: str
    code: int


class SameAs(Packed, frozen=True, tag=2):
    """The outcome of the `Settled` or `Completed` at this index of the same oplog, not repeated."""

    index: Index


Outcome: TypeAlias = Value | Failure


class CreatePromise(Packed, frozen=True, tag=1):
    """Create a promise; settled as timed out when `timeout_us` have passed, if given."""

    call: ClassVar[str] = "create_promise"
    timeout_us: Count | None


class AwaitPromise(Packed, frozen=True, tag=2):
    """Wait for a promise or an invocation; `owner` None is this worker itself."""

    call: ClassVar[str] = "await_promise"
    owner: WorkerId | None
    promise: Index


class PollPromise(Packed, frozen=True, tag=3):
    """Look at a promise without waiting."""

    call: ClassVar[str] = "poll_promise"
    owner: WorkerId | None
    promise: Index


class CompletePromise(Packed, frozen=True, tag=4):
    """Settle a promise with a payload."""

    call: ClassVar[str] = "complete_promise"
    owner: WorkerId | None
    promise: Index
    payload: bytes


class DeletePromise(Packed, frozen=True, tag=5):
    """Delete a promise of this worker."""

    call: ClassVar[str] = "delete_promise"
    promise: Index


class Run(Packed, frozen=True, tag=6):
    """Perform a side effect and record its outcome."""

    call: ClassVar[str] = "run"
    name: str


class Sleep(Packed, frozen=True, tag=7):
    """Wait until `duration_us` after the timestamp of the `Started`."""

    call: ClassVar[str] = "sleep"
    duration_us: Count


class Call(Packed, frozen=True, tag=8):
    """Invoke a handler of another worker, or of this one, and wait for its outcome.

    A worker whose name is empty is a fresh one of an ephemeral component.
    """

    call: ClassVar[str] = "invoke_and_await"
    worker: WorkerId
    function: str
    params: bytes
    """JSON array."""


class Send(Packed, frozen=True, tag=9):
    """Invoke a handler without waiting for its outcome, at `due` if given; the value is the invocation's id."""

    call: ClassVar[str] = "invoke"
    worker: WorkerId
    function: str
    params: bytes
    """JSON array."""
    due: Count | None


class Ask(Packed, frozen=True, tag=10):
    """Ask a query of a worker."""

    call: ClassVar[str] = "ask"
    worker: WorkerId
    function: str
    params: bytes
    """JSON array."""


class SettleAwakeable(Packed, frozen=True, tag=11):
    """Settle the promise that an awakeable id names, if the id is genuine; the value says whether this settled it."""

    call: ClassVar[str] = "settle_awakeable"
    awakeable: str
    outcome: Outcome


class RejectPromise(Packed, frozen=True, tag=12):
    """Settle a promise with a rejection; the value says whether this settled it."""

    call: ClassVar[str] = "reject_promise"
    owner: WorkerId | None
    promise: Index
    reason: str


class NamedPromise(Packed, frozen=True, tag=13):
    """Find the durable promise of a name; the value is its index, or null if there is none and none is created."""

    call: ClassVar[str] = "durable_promise"
    name: str
    due: Count | None
    """The deadline of the promise if this creates it."""
    creates: bool


Request: TypeAlias = (
    CreatePromise
    | AwaitPromise
    | PollPromise
    | CompletePromise
    | DeletePromise
    | Run
    | Sleep
    | Call
    | Send
    | Ask
    | SettleAwakeable
    | RejectPromise
    | NamedPromise
)


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
    """The state of an idle worker; replay may start here."""

    role = Role.INPUT
    state: bytes


class Updated(Entry, frozen=True, tag=9):
    """From here the worker runs another version of its component."""

    role = Role.ORDER
    component_version: Count


class Reverted(Entry, frozen=True, tag=10):
    """The entries from `first` to `last`, both included, no longer count for the worker's state."""

    role = Role.ORDER
    first: Index
    last: Index


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


class Resumed(Entry, frozen=True, tag=15):
    """A person let the worker go on."""

    role = Role.NOTE
    by: str


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


class Applied(Entry, frozen=True, tag=18):
    """Every input up to `through` has been applied, the last of them without an output.

    A step that produces nothing leaves no trace of its own; this one tells a waiting worker from one with work to do
    without replaying it. Appended when a worker comes to rest and its outputs do not say so already.
    """

    role = Role.NOTE
    through: Index


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
)
"""Every kind of entry, as the decoder knows them."""
