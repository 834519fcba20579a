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

FORMAT_VERSION = 2


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
    BY_STATUS = 8
    OUTBOX = 9
    INBOX = 10
    COMPONENTS = 11
    META = 12


DERIVED = (
    Table.WORKERS,
    Table.WORKER_IDS,
    Table.PROMISES,
    Table.WAITERS,
    Table.IDEMPOTENCY,
    Table.TIMERS,
    Table.RUNNABLE,
    Table.BY_STATUS,
    Table.OUTBOX,
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


_BY_STATUS = struct.Struct(">B16sQQ")
by_status_key = _BY_STATUS.pack
"""(status, component's id, created at, worker ordinal)."""
by_status_numbers = _BY_STATUS.unpack
"""Undo `by_status_key`."""
outbox_key = struct.Struct(">IQQ").pack
"""(the shard that a request goes to, caller's ordinal, its `Started`)."""


def inbox_key(shard: int, caller: WorkerId, start: OplogIndex) -> bytes:
    """Return the key of a request from another shard: the shard's number, then 16 bytes of BLAKE2b."""
    return struct.pack(">I", shard) + call_key(0, caller, start)[8:]


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


class Status(enum.IntEnum):
    """What a worker is doing, from its oplog alone; the first byte of a key in `BY_STATUS`."""

    DELETED = 0
    """Never in a key."""
    RUNNING = 1
    SUSPENDED = 2
    IDLE = 3
    RETRYING = 4
    PAUSED = 5
    INTERRUPTED = 6


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
        "listed",
        "listed_at",
        "next_attempt",
        "open_runs",
        "ordinal",
        "pending",
        "running",
        "scheduled",
        "semantics",
        "snapshot",
        "trimmed",
        "unapplied",
        "version",
        "worker_id",
    )

    _LAYOUT = struct.Struct(">BQQQQIIIQIIQQIQQIQ")

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
        self.snapshot = 0
        """The index of this life's last `Snapshotted`; 0 when there is none."""
        self.semantics = 0
        """The number of the order of steps that this life replays by."""
        self.trimmed = 0
        """The index below which this life's entries are gone, or going; 0 when none are."""
        self.listed = 0
        """The status of its row in `BY_STATUS`, as put; 0 when it has none. Not in the bytes: the row as it is read
        says what stands there."""
        self.listed_at = 0
        """The `created_at` of that row."""

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
            self.listed, self.listed_at = self.status_code, self.created_at
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
        return STATUSES[self.status_code]

    @property
    def status_code(self) -> int:
        """The number of its `Status`."""
        condition = self.condition
        if condition:
            return _CONDITION_STATUS[condition]
        if self.unapplied or self.open_runs or (self.pending and not self.running):
            return 1
        return 2 if self.pending else 3


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
    "snapshot",
    "semantics",
    "trimmed",
)
"""The fields of `WorkerRow._LAYOUT`, in its order."""
_numbers_of: Callable[[WorkerRow], tuple[int, ...]] = operator.attrgetter(*_NUMBERS)

_IDENTITY_AT = WorkerRow._LAYOUT.size


def is_named_by(row: bytes | None, key: bytes) -> bool:
    """Whether a row of `WORKERS` is that of the worker which a key in `WORKER_IDS` names."""
    if row is None:
        return False
    if key[16:17] == b"\0":  # by what an ephemeral worker was invoked with: only its component can be told
        return row[_IDENTITY_AT : _IDENTITY_AT + 16] == key[:16]
    return row[_IDENTITY_AT:] == key


WORKER_FIELDS = ("ordinal", *_NUMBERS, "worker_id")
"""What a worker's key and row hold."""

STATUSES = tuple(status.name.lower() for status in Status)
"""The names of the statuses, at their numbers."""

_CONDITION_STATUS = (0, Status.RETRYING.value, Status.PAUSED.value, Status.INTERRUPTED.value, Status.DELETED.value)
"""The status of each condition but none, at its number."""


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
