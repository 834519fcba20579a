"""FORMAT.md says what the code does: each example is decoded, compared and written again, and none is missing."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import cbor2
import pytest

from promissory import oplog
from promissory.oplog import entries as e
from promissory.oplog import tables
from promissory.oplog.codec import decode_cbor, decode_entry, encode_entry
from promissory.oplog.ids import AwakeableId, ComponentId, OplogIndex, WorkerId
from promissory.oplog.render import render
from promissory.oplog.tables import PAIR, QUAD, TRIPLE, U64, PromiseRow, Table, TimerKind, WorkerRow

TEXT = (Path(oplog.__file__).parent / "FORMAT.md").read_text()


def _examples() -> dict[str, dict[str, str]]:
    """Return the lines of each example by the word that heads them; indented lines go on the line before."""
    found = {}
    for block in re.findall(r"```text\nexample (.+?)\n```", TEXT, re.DOTALL):
        name, _, body = block.partition("\n")
        assert name not in found
        found[name] = dict(line.split(None, 1) for line in re.sub(r"\n +", " ", body).splitlines())
    return found


EXAMPLES = _examples()
RECORDS = [name for name, lines in EXAMPLES.items() if "record" in lines]
ROWS = [name for name, lines in EXAMPLES.items() if "row" in lines]
DIGESTS = [name for name in ROWS if name.startswith("idempotency") or name == "worker_ids ephemeral"]
"""The rows whose keys cannot be decoded."""


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


@pytest.mark.parametrize("name", RECORDS)
def test_example_records(name: str) -> None:
    """A documented record decodes to what is shown beside it, and is written in the same bytes."""
    lines = EXAMPLES[name]
    key, record = _bytes(lines["key"]), _bytes(lines["record"])
    entry = decode_entry(key, record)

    assert type(entry).__name__ == name.split()[0]
    assert render(PAIR.unpack(key)[1], entry) == json.loads(lines["shown"])
    assert encode_entry(key, entry) == record


def test_every_kind_has_an_example() -> None:
    """Each kind of entry, request and outcome is worked out in bytes."""
    entries = [decode_entry(_bytes(EXAMPLES[n]["key"]), _bytes(EXAMPLES[n]["record"])) for n in RECORDS]
    outcomes = {type(entry.outcome) for entry in entries if isinstance(entry, e.Ended)}

    assert {type(entry) for entry in entries} == set(get_args(e.AnyEntry))
    assert {type(entry.request) for entry in entries if isinstance(entry, e.Started)} == set(get_args(e.Request))
    assert outcomes == {e.Value, e.Failure, e.SameAs}


def test_the_example_of_an_awakeable_is_genuine() -> None:
    """The id in the example names a promise of the worker in the example of `Created`, and its seed vouches for it."""
    started, created = (
        decode_entry(_bytes(EXAMPLES[name]["key"]), _bytes(EXAMPLES[name]["record"]))
        for name in ("Started settle_awakeable", "Created")
    )
    assert isinstance(started, e.Started)
    assert isinstance(started.request, e.SettleAwakeable)
    assert isinstance(created, e.Created)
    found = AwakeableId.parse(started.request.awakeable)

    assert (found.worker_id, found.oplog_idx) == (created.worker_id, 3)
    assert found.is_genuine(created.seed)


@pytest.mark.parametrize("kind", get_args(e.AnyEntry))
def test_every_kind_lists_its_fields(kind: type[e.Entry]) -> None:
    """A kind's section has its number, role and fields, by name and in order."""
    section = re.search(rf"### {kind.__struct_config__.tag} {kind.__name__}\n\n(\w+)\.(.+?)\n#", TEXT, re.DOTALL)

    assert section is not None
    assert section[1].lower() == kind.role.value
    fields = re.findall(r"^\| (\w+) \|", section[2], re.MULTILINE)
    assert fields[0] == "field"
    assert fields[1:] == list(kind.__struct_fields__[1:])


@pytest.mark.parametrize("kind", [*get_args(e.Request), e.Value, e.Failure, e.SameAs])
def test_every_request_and_outcome_lists_its_fields(kind: type[e.Packed]) -> None:
    """A request or outcome has a line with its number, name and fields in order."""
    call = rf"{kind.call} \| " if hasattr(kind, "call") else ""
    line = re.search(rf"^\| {kind.__struct_config__.tag} \| {call}{kind.__name__} \| (.+?) \|", TEXT, re.MULTILINE)

    assert line is not None
    assert re.findall(r"(\w+):", line[1]) == list(kind.__struct_fields__)


def _workers(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    found = WorkerRow.decode(U64.unpack(key)[0], row)
    means = {name: getattr(found, name) for name in tables.WORKER_FIELDS}
    return {**means, "worker_id": str(found.worker_id)}, tables.worker_key(found.ordinal), found.encode()


def _worker_ids(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    worker_id = WorkerId(ComponentId(key[:16]), key[16:].decode())
    (ordinal,) = U64.unpack(row)
    means = {"worker_id": str(worker_id), "ordinal": ordinal}
    return means, tables.worker_id_key(worker_id), tables.worker_key(ordinal)


def _promises(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    ordinal, index = PAIR.unpack(key)
    found = PromiseRow.decode(row)
    means = {name: getattr(found, name) for name in PromiseRow.__slots__}
    return {"ordinal": ordinal, "index": index, **means}, tables.oplog_key(ordinal, index), found.encode()


def _waiters(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    numbers = QUAD.unpack(key)
    return dict(zip(("owner", "promise", "waiter", "start"), numbers, strict=True)), tables.waiter_key(*numbers), b""


def _timers(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    due, ordinal, index = TRIPLE.unpack(key)
    kind = TimerKind(row[0])
    means = {"due": due, "ordinal": ordinal, "index": index, "kind": kind}
    return means, tables.timer_key(due, ordinal, index), tables.TIMER_ROWS[kind]


def _runnable(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    ordinal, promise = PAIR.unpack(key)
    return {"ordinal": ordinal, "promise": promise}, tables.oplog_key(ordinal, promise), b""


def _by_status(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    status, component, created_at, ordinal = tables.by_status_numbers(key)
    means = {"status": tables.STATUSES[status], "component": component.hex(), "created_at": created_at}
    return {**means, "ordinal": ordinal}, tables.by_status_key(status, component, created_at, ordinal), b""


def _outbox(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    shard, (caller, start) = int.from_bytes(key[:4], "big"), PAIR.unpack(key[4:])
    return {"shard": shard, "caller": caller, "start": start}, tables.outbox_key(shard, caller, start), b""


def _inbox(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    fields = decode_cbor(row)
    (component, name), start, callee, index, outcome = fields
    caller = WorkerId(ComponentId(component), name)
    shard = int.from_bytes(key[:4], "big")
    means = {"shard": shard, "caller": str(caller), "start": start, "callee": callee, "index": index}
    written = tables.inbox_key(shard, caller, start), cbor2.dumps(fields, canonical=True)
    return {**means, "outcome": outcome and [outcome[0], outcome[1].decode()]}, *written


def _components(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    fields = decode_cbor(row)
    means = dict(zip(("module", "class", "directory", "version"), fields, strict=True))
    return {"name": key.decode(), **means}, key, cbor2.dumps(fields, canonical=True)


def _meta(key: bytes, row: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    if key == b"digest":
        return {"key": key.decode(), "value": row.hex()}, key, row
    value = int.from_bytes(row, "big")
    return {"key": key.decode(), "value": value}, key, value.to_bytes(4 if key == b"format" else 8, "big")


CODECS: dict[Table, Callable[[bytes, bytes], tuple[dict[str, Any], bytes, bytes]]] = {
    Table.WORKERS: _workers,
    Table.WORKER_IDS: _worker_ids,
    Table.PROMISES: _promises,
    Table.WAITERS: _waiters,
    Table.TIMERS: _timers,
    Table.RUNNABLE: _runnable,
    Table.BY_STATUS: _by_status,
    Table.OUTBOX: _outbox,
    Table.INBOX: _inbox,
    Table.COMPONENTS: _components,
    Table.META: _meta,
}


@pytest.mark.parametrize("name", [name for name in ROWS if name not in DIGESTS])
def test_example_rows(name: str) -> None:
    """A documented row decodes to what it is said to mean, and is written in the same bytes."""
    lines = EXAMPLES[name]
    key, row = _bytes(lines["key"]), _bytes(lines["row"])

    assert CODECS[Table[name.split()[0].upper()]](key, row) == (json.loads(lines["means"]), key, row)


@pytest.mark.parametrize("name", [name for name in DIGESTS if name != "worker_ids ephemeral"])
def test_example_keys(name: str) -> None:
    """A documented idempotency key, which cannot be decoded, is made of what it is said to mean."""
    lines = EXAMPLES[name]
    means = json.loads(lines["means"])
    if "caller" in means:
        caller = WorkerId(ComponentId(bytes.fromhex(means["caller"][0])), means["caller"][1])
        key = tables.call_key(means["ordinal"], caller, OplogIndex(means["start"]))
    else:
        key = tables.idempotency_key(means["ordinal"], means["function"], means["key"])

    assert (key, tables.worker_key(means["invocation"])) == (_bytes(lines["key"]), _bytes(lines["row"]))


def test_the_example_of_an_ephemeral_workers_key() -> None:
    """The key that finds an ephemeral worker is made of its component and of what it was invoked with."""
    lines = EXAMPLES["worker_ids ephemeral"]
    means = json.loads(lines["means"])
    digest = tables.idempotency_key(0, means["function"], means["key"])[8:]

    assert tables.ephemeral_key(ComponentId(bytes.fromhex(means["component"])), digest) == _bytes(lines["key"])
    assert tables.worker_key(means["ordinal"]) == _bytes(lines["row"])


@pytest.mark.parametrize(("drawn", "kinds"), [("promises", tables.PromiseKind), ("timers", TimerKind)])
def test_every_kind_of_row_has_an_example(drawn: str, kinds: type[enum.IntEnum]) -> None:
    """Each kind of promise and of timer is worked out in bytes."""
    found = {json.loads(lines["means"])["kind"] for name, lines in EXAMPLES.items() if name.startswith(drawn)}

    assert found == set(kinds)


def test_every_table_has_an_example() -> None:
    """Each table is listed, and each but the oplog, which has its records, has an example row."""
    assert {Table[name.split()[0].upper()] for name in ROWS} == set(Table) - {Table.OPLOG}
    listed = re.findall(r"^\| `(\w+)` \| .+ \| .* \| (yes)? ?\|$", TEXT, re.MULTILINE)
    assert [name for name, _ in listed] == [table.name.lower() for table in Table]
    assert {Table[name.upper()] for name, derived in listed if derived} == set(tables.DERIVED)


def test_the_layout_of_workers_is_drawn_as_it_is() -> None:
    """The offsets in the drawing of a worker's row are those of the bytes."""
    drawn = re.findall(
        r"^\| (\d+) \| (\w+) \| (?:u(\d+)|16 bytes|text) \|", TEXT.split("## `promises`")[0], re.MULTILINE
    )
    row = _bytes(EXAMPLES["workers"]["row"])
    means = json.loads(EXAMPLES["workers"]["means"])

    assert {name for _, name, _ in drawn} == {*means, "component_id", "worker_name"} - {"ordinal", "worker_id"}
    for offset, name, bits in drawn:
        if bits:
            assert int.from_bytes(row[int(offset) : int(offset) + int(bits) // 8], "big") == means[name]
