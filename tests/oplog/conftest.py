"""What the tests of the record share: values of every kind, and a scribe that writes oplogs as an executor does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from promissory.oplog import entries as e
from promissory.oplog import fold
from promissory.oplog.codec import decode_entry, encode_entry
from promissory.oplog.environment import Environment
from promissory.oplog.ids import DURABLE_PROMISE, INDEX_MAX, ComponentId, OplogIndex, WorkerId, component_id
from promissory.oplog.tables import Table, WorkerRow, oplog_key

T0 = 1_767_225_600_000_000


def _worker_ids() -> st.SearchStrategy[WorkerId]:
    names = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=64)
    return st.builds(WorkerId, st.binary(min_size=16, max_size=16).map(ComponentId), names)


def _outcomes() -> st.SearchStrategy[e.Outcome]:
    text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
    failure = st.builds(e.Failure, text, text, st.integers(-(2**63), 2**63 - 1))
    return st.builds(e.Value, st.none() | st.binary(max_size=60)) | failure


def _requests() -> st.SearchStrategy[e.Request]:
    count = st.integers(0, INDEX_MAX)
    index = st.integers(1, INDEX_MAX)
    text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
    data = st.binary(max_size=60)
    worker = _worker_ids()
    owner = st.none() | worker
    called = worker | worker.map(lambda worker_id: WorkerId(worker_id.component_id, ""))
    return st.one_of(
        st.builds(e.CreatePromise, st.none() | count, st.none() | data, text),
        st.builds(e.AwaitPromise, owner, index),
        st.builds(e.PollPromise, owner, index),
        st.builds(e.CompletePromise, owner, index, data),
        st.builds(e.DeletePromise, index),
        st.builds(e.Run, text),
        st.builds(e.Sleep, count),
        st.builds(e.Call, called, text, data),
        st.builds(e.Send, called, text, data, st.none() | count),
        st.builds(e.Ask, called, text, data),
        st.builds(e.SettleAwakeable, text, _outcomes()),
        st.builds(e.RejectPromise, owner, index, text),
        st.builds(e.NamedPromise, text, st.none() | count, st.booleans()),
    )


def _entries() -> st.SearchStrategy[e.Entry]:
    count = st.integers(0, INDEX_MAX)
    index = st.integers(1, INDEX_MAX)
    text = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
    data = st.binary(max_size=60)
    worker = _worker_ids()
    owner = st.none() | worker
    outcome = _outcomes()
    indices = st.lists(index, max_size=3).map(tuple)
    return st.one_of(
        st.builds(
            e.Created,
            count,
            worker,
            count,
            data,
            st.dictionaries(text, text, max_size=5),
            owner,
            data,
            st.none() | data,
            count,
        ),
        st.builds(
            e.Invoked,
            count,
            text,
            data,
            st.none() | text,
            owner,
            st.none() | index,
            st.lists(worker, max_size=3).map(tuple),
            st.none() | count,
            st.none() | count,
            st.none() | text,
        ),
        st.builds(e.Started, count, index, _requests()),
        st.builds(
            e.Ended,
            count,
            index,
            outcome | st.builds(e.SameAs, index),
            st.none() | count,
            st.just(1) | count,
            st.none() | text,
        ),
        st.builds(e.Cancelled, count, index, st.none() | index),
        st.builds(e.Abandoned, count, index),
        st.builds(e.Completed, count, index, outcome),
        st.builds(e.Snapshotted, count, count, data, indices),
        st.builds(e.Updated, count, count),
        st.builds(e.Reverted, count, index, text, text),
        st.builds(e.Settled, count, index, outcome, text),
        st.builds(e.Deleted, count, index, text),
        st.builds(e.Errored, count, index, count, text, text, st.none() | count),
        st.builds(e.Interrupted, count, text, text),
        st.builds(e.Resumed, count, text, text),
        st.builds(e.Logged, count, text, text),
        st.builds(e.Removed, count, _worker_ids(), text, text),
        st.builds(e.Applied, count, index),
        st.builds(e.Trimmed, count, index, indices),
        st.builds(e.Delivered, count, index),
    )


@pytest.fixture(scope="session")
def any_worker_id() -> st.SearchStrategy[WorkerId]:
    return _worker_ids()


@pytest.fixture(scope="session")
def any_request() -> st.SearchStrategy[e.Request]:
    return _requests()


@pytest.fixture(scope="session")
def any_entry() -> st.SearchStrategy[e.Entry]:
    return _entries()


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment(tmp_path / "data") as opened:
        yield opened


_BY_ORDINAL = (Table.WORKERS, Table.PROMISES, Table.IDEMPOTENCY, Table.RUNNABLE)


class Scribe:
    """Appends entries to oplogs and keeps every derived row, as an executor does; each `commit` is one transaction."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.now = T0
        self.rows: dict[int, WorkerRow] = {}
        self.ids: dict[WorkerId, int] = {}
        self._runnable: dict[int, bool] = {}
        self._changes: dict[Table, dict[bytes, bytes | None]] = {table: {} for table in Table}

    def put(self, table: Table, key: bytes, row: bytes | None) -> None:
        self._changes[table][key] = row

    def get(self, table: Table, key: bytes) -> bytes | None:
        changes = self._changes[table]
        return changes[key] if key in changes else self.environment.get(table, key)

    def create(self, name: str) -> int:
        """Begin the life of a worker and return its ordinal."""
        worker_id = WorkerId(component_id("approval"), name)
        ordinal = self.ids.setdefault(worker_id, len(self.ids) + 1)
        self.rows.setdefault(ordinal, WorkerRow(ordinal, worker_id))
        self.add(ordinal, e.Created, worker_id, 1, b"[]", {}, None, bytes(32))
        return ordinal

    def promise(self, name: str, due: int | None = None) -> int:
        """Create a durable promise and return the ordinal of its worker."""
        worker_id = WorkerId(DURABLE_PROMISE, name)
        ordinal = self.ids.setdefault(worker_id, len(self.ids) + 1)
        self.rows.setdefault(ordinal, WorkerRow(ordinal, worker_id))
        self.add(ordinal, e.Created, worker_id, 1, b"[]" if due is None else b"[%d]" % due, {}, None, bytes(32))
        return ordinal

    def invoke(self, ordinal: int, key: str | None = None, due: int | None = None) -> OplogIndex:
        key = key or f"key-{self.rows[ordinal].last}"
        return self.add(ordinal, e.Invoked, "submit", b"[]", key, None, None, (), due)

    def start(self, ordinal: int, invocation: int, request: e.Request) -> OplogIndex:
        return self.add(ordinal, e.Started, invocation, request)

    def add(self, ordinal: int, kind: Any, *fields: Any) -> OplogIndex:
        """Append an entry, one microsecond after the last."""
        self.now += 1
        return self.write(ordinal, kind(self.now, *fields))

    def write(self, ordinal: int, entry: e.Entry) -> OplogIndex:
        row = self.rows[ordinal]
        index = OplogIndex(row.last + 1)
        fold.apply(row, index, entry, self._start_of(ordinal, entry), self.ids.get, self.put)
        self.put(Table.OPLOG, oplog_key(ordinal, index), encode_entry(oplog_key(ordinal, index), entry))
        return index

    def entry(self, ordinal: int, index: int) -> e.Entry:
        key = oplog_key(ordinal, index)
        record = self.get(Table.OPLOG, key)
        assert record is not None
        return decode_entry(key, record)

    def _start_of(self, ordinal: int, entry: e.Entry) -> e.Entry | None:
        for field in ("start", "promise"):
            if hasattr(entry, field):
                is_closed = type(entry) is e.Abandoned and any(
                    isinstance(found, e.Ended) and found.start == entry.start
                    for found in (self.entry(ordinal, i) for i in range(entry.start, self.rows[ordinal].last + 1))
                )
                return None if is_closed else self.entry(ordinal, getattr(entry, field))
        return self.entry(ordinal, entry.invocation) if type(entry) in (e.Completed, e.Cancelled) else None

    def remove(self, ordinal: int) -> None:
        """Delete a worker without waits or timers of its own, and without waiters."""
        row = self.rows[ordinal]
        for index in range(row.life, row.last + 1):
            entry = self.entry(ordinal, index)
            if type(entry) is e.Invoked:
                self.put(Table.IDEMPOTENCY, fold.key_of(ordinal, entry), None)
            self.put(Table.PROMISES, oplog_key(ordinal, index), None)
            self.put(Table.OPLOG, oplog_key(ordinal, index), None)
        self.add(ordinal, e.Removed, row.worker_id, "test")

    def vanish(self, ordinal: int) -> None:
        """Delete everything of a worker, as the end of an ephemeral one does."""
        places = ((Table.OPLOG, 0), *((table, 0) for table in _BY_ORDINAL), (Table.TIMERS, 8), (Table.BY_STATUS, 25))
        for table, at in places:
            for key, _ in list(self.environment.scan(table)):
                if int.from_bytes(key[at : at + 8], "big") == ordinal:
                    self.put(table, key, None)
        for key, row in list(self.environment.scan(Table.WORKER_IDS)):
            if int.from_bytes(row, "big") == ordinal:
                self.put(Table.WORKER_IDS, key, None)
        del self.ids[self.rows.pop(ordinal).worker_id]

    def commit(self) -> None:
        for ordinal, row in self.rows.items():
            fold.refresh(row, self._runnable.get(ordinal, False), self.put)
            self._runnable[ordinal] = row.is_runnable
        self.environment.commit(self._changes)
        for rows in self._changes.values():
            rows.clear()


@pytest.fixture
def scribe(environment: Environment) -> Scribe:
    return Scribe(environment)


@pytest.fixture
def town(scribe: Scribe) -> Scribe:
    """Workers in all situations.

    1 is busy, 2 was deleted and lives again, 3 waits for 1, 4 can begin, 5 calls 4, 6 is ephemeral and done, 7 is a
    durable promise with a deadline, for which 5 waits, 8 one that is settled in its second life.
    """
    busy = scribe.create("order/7")
    done = scribe.invoke(busy, "first")
    scribe.start(busy, done, e.CreatePromise(60_000_000))  # 3
    scribe.start(busy, done, e.Run("ask"))  # 4
    scribe.start(busy, done, e.AwaitPromise(None, OplogIndex(3)))  # 5
    scribe.start(busy, done, e.Sleep(1_000_000))  # 6
    scribe.add(busy, e.Ended, 4, e.Value(b"1"))  # 7
    scribe.add(busy, e.Settled, 3, e.Value(b"yes"), "cli")  # 8
    scribe.add(busy, e.Ended, 5, e.SameAs(OplogIndex(8)))  # 9
    scribe.add(busy, e.Ended, 6, e.Value(b"null"))  # 10
    scribe.add(busy, e.Abandoned, 6)  # 11
    scribe.add(busy, e.Completed, done, e.Value(b'"yes"'))  # 12
    scribe.add(busy, e.Deleted, 3, "cli")  # 13
    running = scribe.invoke(busy, "second")  # 14
    scribe.invoke(busy, "later", due=scribe.now + 10_000_000)  # 15
    scribe.start(busy, running, e.CreatePromise(None))  # 16
    scribe.start(busy, running, e.AwaitPromise(None, OplogIndex(16)))  # 17
    scribe.start(busy, running, e.Run("mail"))  # 18
    scribe.start(busy, running, e.Sleep(5_000_000))  # 19
    scribe.add(busy, e.Logged, "info", "here")  # 20
    scribe.add(busy, e.Errored, 14, 1, "ValueError", "Traceback", scribe.now + 50_000)  # 21
    scribe.commit()

    again = scribe.create("again")
    scribe.invoke(again)
    scribe.commit()
    scribe.remove(again)
    scribe.commit()
    scribe.create("again")
    scribe.commit()

    waiting = scribe.create("waiting")
    invocation = scribe.invoke(waiting)
    scribe.start(waiting, invocation, e.AwaitPromise(scribe.rows[busy].worker_id, OplogIndex(16)))
    scribe.start(waiting, invocation, e.AwaitPromise(scribe.rows[busy].worker_id, OplogIndex(14)))
    scribe.commit()
    ready = scribe.create("ready")
    scribe.invoke(ready)
    scribe.commit()

    calling = scribe.create("calling")
    called, caller = scribe.rows[ready].worker_id, scribe.rows[calling].worker_id
    invocation = scribe.invoke(calling)
    call = scribe.start(calling, invocation, e.Call(called, "submit", b"[]"))  # 3
    scribe.add(ready, e.Invoked, "submit", b"[]", None, caller, call, (caller,), None)
    scribe.start(calling, invocation, e.Ask(called, "look", b"[]"))  # 4
    send = scribe.start(calling, invocation, e.Send(WorkerId(component_id("approval"), ""), "submit", b"[]", None))  # 5
    fresh = scribe.create("fresh")
    one = scribe.add(fresh, e.Invoked, "submit", b"[]", None, caller, send, (), None, 86_400_000_000)  # 2
    scribe.add(calling, e.Ended, send, e.Value(b'"inv_1"'))  # 6
    refused = scribe.start(calling, invocation, e.Call(called, "no_such", b"[]"))  # 7
    scribe.add(calling, e.Ended, refused, e.Failure("call", "no such function", 404))  # 8
    scribe.add(fresh, e.Completed, one, e.Value(b"null"))  # 3
    scribe.commit()

    release = scribe.promise("release", due=scribe.now + 60_000_000)
    find = scribe.start(calling, invocation, e.NamedPromise("release", None, True))  # 9
    scribe.add(calling, e.Ended, find, e.Value(b"1"))  # 10
    scribe.start(calling, invocation, e.AwaitPromise(scribe.rows[release].worker_id, OplogIndex(1)))  # 11
    settled = scribe.promise("settled")
    scribe.commit()
    scribe.remove(settled)
    scribe.commit()
    scribe.promise("settled", due=scribe.now + 60_000_000)  # 3
    scribe.add(settled, e.Settled, 3, e.Value(b"1"), "cli")
    scribe.commit()
    return scribe
