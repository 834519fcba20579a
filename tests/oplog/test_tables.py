"""Keys and rows: every row comes back, keys order as numbers do, and no two kinds of key can meet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.oplog import tables
from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.ids import ComponentId, OplogIndex, WorkerId
from promissory.oplog.tables import Condition, PromiseKind, PromiseRow, PromiseState, Table, WorkerRow

U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
SHORT_FIELDS = ("semantics", "version", "pending", "scheduled", "open_runs", "unapplied", "attempt")
NAMED = WorkerId(ComponentId(bytes(range(16))), "order-7")


def same(one: WorkerRow | PromiseRow, other: WorkerRow | PromiseRow) -> bool:
    names = tables.WORKER_FIELDS if isinstance(one, WorkerRow) else one.__slots__
    return all(getattr(one, name) == getattr(other, name) for name in names)


@given(data=st.data())
def test_worker_rows_come_back(any_worker_id: st.SearchStrategy[WorkerId], data: st.DataObject) -> None:
    """A worker's row holds every field over its whole range."""
    row = WorkerRow(data.draw(U64), data.draw(any_worker_id))
    row.condition = data.draw(st.sampled_from(Condition))
    for name in set(tables.WORKER_FIELDS) - {"ordinal", "worker_id", "condition"}:
        setattr(row, name, data.draw(U32 if name in SHORT_FIELDS else U64))

    found = WorkerRow.decode(row.ordinal, row.encode())

    assert same(found, row)
    assert found.encode() == row.encode()


@given(st.sampled_from(PromiseKind), st.sampled_from(PromiseState), U64, U64)
def test_promise_rows_come_back(kind: PromiseKind, state: PromiseState, created_at: int, outcome: int) -> None:
    """The row of a promise holds every field over its whole range."""
    row = PromiseRow(kind, state, created_at, outcome)

    assert same(PromiseRow.decode(row.encode()), row)


@given(st.binary(max_size=160))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Bytes that are no row are refused as corrupt, never otherwise; what is read is written the same."""
    for decode in (lambda: WorkerRow.decode(1, raw), lambda: PromiseRow.decode(raw)):
        try:
            found = decode()
        except OplogCorrupt:
            continue
        assert found.encode() == raw


@pytest.mark.parametrize("cut", [0, 1, 108, 109, 124])
def test_short_worker_rows_are_refused(cut: int) -> None:
    """A worker's row without its whole component id is no row."""
    with pytest.raises(OplogCorrupt):
        WorkerRow.decode(1, WorkerRow(1, NAMED).encode()[:cut])


def test_unknown_codes_are_refused() -> None:
    """A condition, kind or state that does not exist is refused."""
    row = WorkerRow(1, NAMED).encode()
    promise = PromiseRow(PromiseKind.PROMISE, PromiseState.PENDING, 5).encode()

    with pytest.raises(OplogCorrupt):
        WorkerRow.decode(1, b"\x05" + row[1:])
    for raw in (b"\x04" + promise[1:], promise[:1] + b"\x05" + promise[2:], promise + b"\0", promise[:-1]):
        with pytest.raises(OplogCorrupt):
            PromiseRow.decode(raw)


@given(st.tuples(U64, U64, U64, U64), st.tuples(U64, U64, U64, U64))
def test_keys_order_as_their_numbers_do(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> None:
    """The order of keys in LMDB is the order of the numbers they are made of."""
    assert (tables.worker_key(one[0]) < tables.worker_key(other[0])) == (one[0] < other[0])
    assert (tables.oplog_key(*one[:2]) < tables.oplog_key(*other[:2])) == (one[:2] < other[:2])
    assert (tables.timer_key(*one[:3]) < tables.timer_key(*other[:3])) == (one[:3] < other[:3])
    assert (tables.waiter_key(*one) < tables.waiter_key(*other)) == (one < other)


@given(st.text(max_size=10), st.text(max_size=10), st.text(max_size=10), st.text(max_size=10))
def test_keys_of_clients_belong_to_their_function(function: str, key: str, other_function: str, other_key: str) -> None:
    """Two invocations share an idempotency row only if function and key are equal."""
    same_row = tables.idempotency_key(1, function, key) == tables.idempotency_key(1, other_function, other_key)

    assert same_row == ((function, key) == (other_function, other_key)) or "\0" in function + other_function


def test_no_client_can_enter_the_keys_of_calls() -> None:
    """A client whose key spells a call's identity still has another row, and no two calls share one."""
    spelled = (tables.worker_id_key(NAMED) + (9).to_bytes(8, "big")).decode("latin-1")

    assert tables.call_key(1, NAMED, OplogIndex(9)) != tables.idempotency_key(1, "", spelled)
    assert tables.call_key(1, NAMED, OplogIndex(9)) != tables.call_key(1, NAMED, OplogIndex(10))
    assert tables.call_key(1, NAMED, OplogIndex(9)) != tables.call_key(2, NAMED, OplogIndex(9))


@given(st.binary(min_size=16, max_size=16), st.data())
def test_no_name_can_enter_the_keys_of_ephemeral_workers(
    any_worker_id: st.SearchStrategy[WorkerId], digest: bytes, data: st.DataObject
) -> None:
    """What finds an ephemeral worker by its invocation finds no worker by its name, and belongs to its component."""
    named, other = data.draw(any_worker_id), data.draw(any_worker_id)
    key = tables.ephemeral_key(named.component_id, digest)

    assert tables.worker_id_key(named) != key
    assert (tables.ephemeral_key(other.component_id, digest) == key) == (other.component_id == named.component_id)


@pytest.mark.parametrize(
    ("changes", "status", "is_runnable"),
    [
        ({}, "idle", False),
        ({"pending": 1}, "running", True),
        ({"pending": 1, "running": 2}, "suspended", False),
        ({"pending": 2, "running": 2}, "suspended", False),
        ({"pending": 1, "running": 2, "unapplied": 1}, "running", True),
        ({"pending": 1, "running": 2, "open_runs": 1}, "running", True),
        ({"scheduled": 1}, "idle", False),
        ({"pending": 1, "condition": Condition.RETRYING}, "retrying", False),
        ({"pending": 1, "condition": Condition.PAUSED}, "paused", False),
        ({"pending": 1, "condition": Condition.INTERRUPTED}, "interrupted", False),
        ({"condition": Condition.REMOVED}, "deleted", False),
    ],
)
def test_status(changes: dict[str, int], status: str, is_runnable: bool) -> None:
    """The status of a worker, and whether there is something to do for it, follow from its row alone."""
    row = WorkerRow(1, NAMED)
    for name, value in changes.items():
        setattr(row, name, value)

    assert (row.status, row.is_runnable) == (status, is_runnable)


def test_tables_keep_their_places() -> None:
    """Every table but the oplog, the inbox, the components and meta can be computed again."""
    assert set(Table) - set(tables.DERIVED) == {Table.OPLOG, Table.INBOX, Table.COMPONENTS, Table.META}
