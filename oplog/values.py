"""What entries are made of besides numbers and text: outcomes, and the requests of host calls. Plain frozen values.

`entries` gives all of them under its own name too.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeAlias

import msgspec

from promissory.oplog.ids import INDEX_MAX, OplogIndex, WorkerId


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
    schema: bytes | None = None
    """JSON Schema of the values that it may be settled with; None: any payload."""
    label: str = ""
    """For people."""


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
