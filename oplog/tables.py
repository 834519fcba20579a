"""The tables: their names, keys and rows as bytes. FORMAT.md draws each; nothing else knows a layout."""

from __future__ import annotations

import enum
import hashlib
import operator
import struct
from collections.abc import Callable
from typing import TypeAlias

from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.ids import ComponentId, OplogIndex, WorkerId

FORMAT_VERSION = 1


class Table(enum.IntEnum):
    """The tables of an environment; the name in LMDB is the lower-case name here."""

    OPLOG = 0
    WORKERS = 1
    WORKER_IDS = 2
    PROMISES = 3
    WAITERS = 4
    IDEMPOTENCY = 5
    TIMERS = 6
    RUNNABLE = 7
    COMPONENTS = 8
    META = 9


DERIVED = (
    Table.WORKERS,
    Table.WORKER_IDS,
    Table.PROMISES,
    Table.WAITERS,
    Table.IDEMPOTENCY,
    Table.TIMERS,
    Table.RUNNABLE,
)
"""The tables that can be computed again from `OPLOG`."""

Put: TypeAlias = Callable[[Table, bytes, "bytes | None"], None]
"""Receives a change: table, key, and the row, or None to delete it."""

U64 = struct.Struct(">Q")
PAIR = struct.Struct(">QQ")
TRIPLE = struct.Struct(">QQQ")
QUAD = struct.Struct(">QQQQ")

oplog_key = PAIR.pack
"""(worker ordinal, index) of an entry; also of a promise, an invocation and a runnable row."""
worker_key = U64.pack
timer_key = TRIPLE.pack
"""(due in microseconds, worker ordinal, index of the `Started` or `Invoked`; 0 for the worker's next attempt)."""
waiter_key = QUAD.pack
"""(owner's ordinal, promise, waiter's ordinal, the waiter's `Started`)."""


def worker_id_key(worker_id: WorkerId) -> bytes:
    """Return the component's 16 bytes, then the name in UTF-8."""
    return worker_id.component_id + worker_id.worker_name.encode()


def idempotency_key(ordinal: int, function: str, key: str) -> bytes:
    """Return the key under which a client's idempotency key is found: ordinal, then 16 bytes of BLAKE2b."""
    digest = hashlib.blake2b(f"client\0{function}\0{key}".encode(), digest_size=16).digest()
    return U64.pack(ordinal) + digest


def call_key(ordinal: int, caller: WorkerId, start: OplogIndex) -> bytes:
    """Return the key under which a worker's call is found; no client's key can equal it."""
    digest = hashlib.blake2b(b"worker\0" + worker_id_key(caller) + U64.pack(start), digest_size=16).digest()
    return U64.pack(ordinal) + digest


def ephemeral_key(component_id: ComponentId, digest: bytes) -> bytes:
    """Return the key in `WORKER_IDS` that finds an ephemeral worker by what it was invoked with.

    The zero byte, which no worker's name holds, keeps it apart from names.

    Args:
      component_id: the worker's component.
      digest: the 16 bytes of `idempotency_key` or `call_key`, whatever their ordinal.
    """
    return component_id + b"\0" + digest


class TimerKind(enum.IntEnum):
    """What a timer does when it is due; the one byte of its row."""

    SLEEP = 1
    DEADLINE = 2
    INVOKE = 3
    RETRY = 4
    EXPIRY = 5


TIMER_ROWS = {kind: bytes([kind]) for kind in TimerKind}


class Condition(enum.IntEnum):
    """What keeps a worker from going on, if anything."""

    NONE = 0
    RETRYING = 1
    PAUSED = 2
    INTERRUPTED = 3
    REMOVED = 4


class WorkerRow:
    """What is known of a worker without replaying it: the fold over its oplog (`fold.apply`).

    A plain mutable class: the executor keeps one for each worker in memory and folds every entry into it.
    """

    __slots__ = (
        "attempt",
        "condition",
        "created_at",
        "errored",
        "errored_input",
        "last",
        "last_timestamp",
        "life",
        "next_attempt",
        "open_runs",
        "ordinal",
        "pending",
        "running",
        "scheduled",
        "unapplied",
        "version",
        "worker_id",
    )

    _LAYOUT = struct.Struct(">BQQQQIIIQIIQQIQ")

    def __init__(self, ordinal: int, worker_id: WorkerId) -> None:
        self.ordinal = ordinal
        self.worker_id = worker_id
        self.condition = Condition.NONE
        self.life = 0
        """The index of this life's `Created`; 0 when the worker was deleted."""
        self.last = 0
        self.created_at = 0
        self.last_timestamp = 0
        self.version = 0
        self.pending = 0
        """Invocations queued or running."""
        self.scheduled = 0
        """Invocations whose delay has not passed."""
        self.running = 0
        """The invocation that has begun; 0 when none has."""
        self.open_runs = 0
        self.unapplied = 0
        """Inputs that may not have been applied yet; 0 is certain."""
        self.errored = 0
        """The index of the last `Errored` that still matters."""
        self.errored_input = 0
        self.attempt = 0
        self.next_attempt = 0

    def encode(self) -> bytes:
        """Return the row."""
        worker_id = self.worker_id
        return self._LAYOUT.pack(*_numbers_of(self)) + worker_id.component_id + worker_id.worker_name.encode()

    def numbers(self) -> tuple[int, ...]:
        """Return all that changes in the row, for `restore`."""
        return _numbers_of(self)

    def restore(self, numbers: tuple[int, ...]) -> None:
        """Have the row be again as it was when `numbers` were taken of it."""
        for name, number in zip(_NUMBERS, numbers, strict=True):
            setattr(self, name, number)

    @classmethod
    def decode(cls, ordinal: int, row: bytes) -> WorkerRow:
        """Undo `encode`.

        Raises:
          OplogCorrupt: the bytes are no such row.
        """
        size = cls._LAYOUT.size
        if len(row) < size + 16:
            raise OplogCorrupt(f"row of worker {ordinal}: {len(row)} bytes")
        try:
            worker_id = WorkerId(ComponentId(row[size : size + 16]), row[size + 16 :].decode())
            self = cls(ordinal, worker_id)
            for name, number in zip(_NUMBERS, cls._LAYOUT.unpack_from(row), strict=True):
                setattr(self, name, number)
            self.condition = Condition(self.condition)
        except (struct.error, ValueError) as error:
            raise OplogCorrupt(f"row of worker {ordinal}: {error}") from None
        return self

    @property
    def is_runnable(self) -> bool:
        """Whether there is something to do for it now: it then has a row in `RUNNABLE`."""
        return self.condition == Condition.NONE and bool(
            self.unapplied or self.open_runs or (self.pending and not self.running)
        )

    @property
    def status(self) -> str:
        """One of running, suspended, idle, retrying, paused, interrupted, deleted."""
        if self.condition != Condition.NONE:
            return _CONDITION_STATUS[self.condition]
        if self.is_runnable:
            return "running"
        return "suspended" if self.pending else "idle"


_NUMBERS = (
    "condition",
    "life",
    "last",
    "created_at",
    "last_timestamp",
    "version",
    "pending",
    "scheduled",
    "running",
    "open_runs",
    "unapplied",
    "errored",
    "errored_input",
    "attempt",
    "next_attempt",
)
"""The fields of `WorkerRow._LAYOUT`, in its order."""
_numbers_of: Callable[[WorkerRow], tuple[int, ...]] = operator.attrgetter(*_NUMBERS)

_CONDITION_STATUS = {
    Condition.RETRYING: "retrying",
    Condition.PAUSED: "paused",
    Condition.INTERRUPTED: "interrupted",
    Condition.REMOVED: "deleted",
}


class PromiseKind(enum.IntEnum):
    """What created a row of `PROMISES`."""

    PROMISE = 1
    INVOCATION = 2
    CALL = 3
    """A call that a worker waits for: it is there, pending, from its `Started` to its `Ended` or `Abandoned`."""


class PromiseState(enum.IntEnum):
    """How far a promise or an invocation is."""

    PENDING = 0
    RESOLVED = 1
    REJECTED = 2
    DELETED = 3
    SCHEDULED = 4
    """An invocation whose delay has not passed."""


class PromiseRow:
    """A promise or an invocation: its kind, state, when it was made, and the index of its outcome.

    While a promise is pending the last field holds its deadline instead, in microseconds; 0 is none.
    """

    __slots__ = ("created_at", "kind", "outcome", "state")

    _LAYOUT = struct.Struct(">BBQQ")

    def __init__(self, kind: PromiseKind, state: PromiseState, created_at: int, outcome: int = 0) -> None:
        self.kind = kind
        self.state = state
        self.created_at = created_at
        self.outcome = outcome

    def encode(self) -> bytes:
        """Return the row."""
        return encode_promise(self.kind, self.state, self.created_at, self.outcome)

    @classmethod
    def decode(cls, row: bytes) -> PromiseRow:
        """Undo `encode`.

        Raises:
          OplogCorrupt: the bytes are no such row.
        """
        try:
            kind, state, created_at, outcome = cls._LAYOUT.unpack(row)
            return cls(_PROMISE_KINDS[kind], _PROMISE_STATES[state], created_at, outcome)
        except (struct.error, LookupError) as error:
            raise OplogCorrupt(f"row of a promise: {error}") from None

    @property
    def deadline(self) -> int:
        """When a pending promise settles as timed out; 0: never, or it is settled."""
        return 0 if self.state else self.outcome

    @property
    def is_settled(self) -> bool:
        """Whether there is an outcome (a deleted promise has one: the error `deleted`)."""
        return self.state in _SETTLED


# A look-up by number takes a tenth of the time that calling the enumeration takes.
_PROMISE_KINDS = {kind.value: kind for kind in PromiseKind}
_PROMISE_STATES = {state.value: state for state in PromiseState}
encode_promise = PromiseRow._LAYOUT.pack
"""Return the row of a kind, state, time and outcome's index, without a `PromiseRow`."""

_SETTLED = (PromiseState.RESOLVED, PromiseState.REJECTED, PromiseState.DELETED)
