"""Entries to bytes and back: everything round-trips, and what this writer would not write is refused."""

from __future__ import annotations

import zlib
from typing import Any, get_args

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.oplog import entries as e
from promissory.oplog.cbor import dumps
from promissory.oplog.codec import RECORD_VERSION, decode_cbor, decode_entry, encode_entry
from promissory.oplog.errors import NewerFormat, OplogCorrupt
from promissory.oplog.ids import ComponentId, OplogIndex, WorkerId

KEY = bytes(15) + b"\x01"
NAMED = WorkerId(ComponentId(bytes(16)), "a")
LOGGED = e.Logged(5, "info", "here")


def record_of(body: bytes, *, version: int = RECORD_VERSION, key: bytes = KEY, codec: int = 0) -> bytes:
    """Return a record with a right checksum over any body."""
    body = bytes([codec]) + body
    return bytes([version]) + zlib.crc32(body, zlib.crc32(key)).to_bytes(4, "big") + body


def forge(fields: Any) -> bytes:
    return record_of(cbor2.dumps(fields, canonical=True))


@given(data=st.data(), key=st.binary(min_size=16, max_size=16))
def test_every_entry_comes_back(any_entry: st.SearchStrategy[e.Entry], data: st.DataObject, key: bytes) -> None:
    """Decoding what was encoded gives an equal entry of the same kind, and its bytes again."""
    entry = data.draw(any_entry)
    record = encode_entry(key, entry)
    found = decode_entry(key, record)

    assert (type(found), found) == (type(entry), entry)
    assert encode_entry(key, found) == record


@given(data=st.data())
def test_the_strategy_makes_every_kind(any_entry: st.SearchStrategy[e.Entry], data: st.DataObject) -> None:
    """No kind of entry is left out of these tests."""
    assert type(data.draw(any_entry)) in get_args(e.AnyEntry)
    assert len(any_entry.branches) == len(get_args(e.AnyEntry))  # type: ignore[attr-defined]


@given(data=st.data())
def test_a_flipped_bit_is_found(any_entry: st.SearchStrategy[e.Entry], data: st.DataObject) -> None:
    """A record with one bit flipped, wherever, is refused."""
    record = bytearray(encode_entry(KEY, data.draw(any_entry)))
    bit = data.draw(st.integers(0, len(record) * 8 - 1))
    record[bit // 8] ^= 1 << bit % 8

    with pytest.raises((OplogCorrupt, NewerFormat)):
        decode_entry(KEY, bytes(record))


@given(data=st.data())
def test_a_cut_or_lengthened_record_is_found(any_entry: st.SearchStrategy[e.Entry], data: st.DataObject) -> None:
    """A record that lost or gained bytes is refused, also with a checksum to match."""
    body = encode_entry(KEY, data.draw(any_entry))[6:]
    cut = data.draw(st.integers(0, len(body) - 1))
    more = data.draw(st.binary(min_size=1, max_size=8))

    for changed in (body[:cut], body + more):
        with pytest.raises(OplogCorrupt):
            decode_entry(KEY, record_of(changed))
        with pytest.raises(OplogCorrupt):
            decode_entry(KEY, encode_entry(KEY, LOGGED)[:6] + changed)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    """Whatever lies in the store, decoding gives an entry or one of two errors."""
    for record in (raw, record_of(raw)):
        try:
            decode_entry(KEY, record)
        except (OplogCorrupt, NewerFormat):
            continue


def test_a_record_in_anothers_place_is_found() -> None:
    """The checksum covers the key: a record moved under another key is refused."""
    with pytest.raises(OplogCorrupt, match="checksum"):
        decode_entry(bytes(15) + b"\x02", encode_entry(KEY, LOGGED))


def test_a_newer_version_is_told_from_damage() -> None:
    """A record of a later version says that this reader is too old; version 1 was never released."""
    body = encode_entry(KEY, LOGGED)[6:]

    with pytest.raises(NewerFormat, match="3"):
        decode_entry(KEY, record_of(body, version=3))
    with pytest.raises(OplogCorrupt, match="version 1"):
        decode_entry(KEY, record_of(body, version=1))


@pytest.mark.parametrize("entry", [LOGGED, e.Started(2**51, OplogIndex(2), e.Run("ask"))])
def test_payloads_in_another_codec_are_refused(entry: e.Entry) -> None:
    """A codec that this reader has not is refused as newer, for kinds that are read the short way too."""
    body = encode_entry(KEY, entry)[6:]

    assert decode_entry(KEY, record_of(body)) == entry
    with pytest.raises(NewerFormat, match="codec 1"):
        decode_entry(KEY, record_of(body, codec=1))


@pytest.mark.parametrize(
    "fields",
    [
        [0, 5],
        [21, 5, "x"],
        [255],
        [-1, 5],
        ["6", 5, 3],
        [6.0, 5, 3],
        [True, 5, 3],
        [None, 5, 3],
        [[6], 5, 3],
        [],
        {},
        {6: 5},
        6,
        "Abandoned",
        b"\x06\x05\x03",
        None,
    ],
)
def test_unknown_kinds_are_refused(fields: Any) -> None:
    """A body that is no array headed by the number of a kind is refused."""
    with pytest.raises(OplogCorrupt):
        decode_entry(KEY, forge(fields))


@pytest.mark.parametrize(
    "fields",
    [
        [6, 5],
        [6, 5, 3, 4],
        [6, 5, 3, None],
        [6, -1, 3],
        [6, 2**63, 3],
        [6, 5, 0],
        [6, 5, 2**63],
        [6, 5.0, 3],
        [6, 5, 3.0],
        [6, True, 3],
        [6, 5, "3"],
        [16, 5, b"info", "here"],
        [16, 5, "info", None],
        [7, 5, 3, [2, 3]],
        [4, 5, 3, [3, None]],
        [4, 5, 3, [0]],
        [4, 5, 3, [0, None, None]],
        [4, 5, 3, [0, "aGk="]],
        [4, 5, 3, None],
        [2, 5, "f", b"[]", "k", None, None, []],
        [2, 5, "f", b"[]", "k", None, None, [], None, -1],
        [2, 5, "f", b"[]", "k", None, None, [], None, "1"],
        [2, 5, "f", b"[]", "k", None, None, [], None, 1, 1],
        [2, 5, "f", b"[]", "k", None, None, [], None, 1, None, None],
        [14, 5, "cli", None],
        [14, 5, "cli", "", None],
        [4, 5, 3, [0, None], None, -1],
        [4, 5, 3, [0, None], None, 1, 5],
        [3, 5, 2, [1, None, "{}"]],
        [3, 5, 2, [1, None, None, None]],
        [8, 5, 1, b"{}", [0]],
        [8, 5, 1, b"{}", None],
        [10, 5, 3],
        [19, 5, 3],
        [20, 5, 0],
        [3, 5, 2, [8, None]],
        [3, 5, 2, [8, None, "f", b"[]"]],
        [3, 5, 2, [8, [bytes(16), "a"], "f", "[]"]],
        [3, 5, 2, [8, [bytes(16), "a"], "f", b"[]", None]],
        [3, 5, 2, [9, [bytes(16), "a"], "f", b"[]"]],
        [3, 5, 2, [9, [bytes(16), "a"], "f", b"[]", -1]],
        [3, 5, 2, [10, [bytes(16), "a"], None, b"[]"]],
        [3, 5, 2, [11, [bytes(16), "a"], "f", b"[]"]],
        [3, 5, 2, [2, [b"short", "a"], 3]],
        [3, 5, 2, [2, [bytes(16)], 3]],
        [3, 5, 2, [2, [bytes(16), "a", 1], 3]],
        [1, 5, [bytes(16), "a"], 1, b"[]", {"a": 1}, None, bytes(32)],
        [1, 5, [bytes(16), "a"], 1, b"[]", [], None, bytes(32)],
        [1, 5, [bytes(16), "a"], 1, b"[]", {}, None, bytes(32), "{}"],
        [1, 5, [bytes(16), "a"], 1, b"[]", {}, None, bytes(32), None, -1],
    ],
)
def test_unknown_fields_are_refused(fields: Any) -> None:
    """Missing, excess, mistyped and out-of-range fields are refused at every depth."""
    with pytest.raises(OplogCorrupt):
        decode_entry(KEY, forge(fields))


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("trailing bytes", "83060503" + "00"),
        ("two items", "83060503" + "83060503"),
        ("its own length", "83060503" + "1a00000009"),
        ("a text that takes what follows", "840c0001650c"),
        ("indefinite array", "9f060503ff"),
        ("indefinite text", "8410057f6161ff6161"),
        ("indefinite bytes", "830805" + "5f4161ff"),
        ("indefinite map", "bf0102ff"),
        ("duplicate keys", "a2616101616102"),
        ("cut short", "830605"),
        ("a break", "ff"),
        ("nothing", ""),
        ("reserved length", "1c"),
        ("huge length", "5b7fffffffffffffff"),
        ("huge array", "9b7fffffffffffffff"),
        ("bad UTF-8", "61ff"),
        ("too deep", "81" * 10_000),
    ],
)
def test_loose_cbor_is_refused(what: str, body: str) -> None:
    """What CBOR allows and the writer never writes is refused."""
    with pytest.raises(OplogCorrupt):
        decode_entry(KEY, record_of(bytes.fromhex(body)))
    with pytest.raises(OplogCorrupt):
        decode_cbor(bytes.fromhex(body))


@pytest.mark.parametrize("tag", [*range(64), 100, 256, 258, 260, 261, 1004, 43000, 55799, 2**32])
def test_tags_are_refused(tag: int) -> None:
    """Every tag, known to the decoder or not, is refused, whatever it is on and however deep."""
    head = cbor2.dumps(cbor2.CBORTag(tag, None))[:-1]

    for item in ("05", "6161", "4101", "80", "82050a", "a0"):
        with pytest.raises(OplogCorrupt):
            decode_cbor(head + bytes.fromhex(item))
        with pytest.raises(OplogCorrupt):
            decode_cbor(b"\x81" + head + bytes.fromhex(item))


def test_environment_variables_have_one_order() -> None:
    """Equal entries have equal bytes, in whatever order a mapping was filled."""
    one = e.Created(5, NAMED, 1, b"[]", {"a": "1", "b": "2"}, None, bytes(32))
    other = e.Created(5, NAMED, 1, b"[]", {"b": "2", "a": "1"}, None, bytes(32))

    assert encode_entry(KEY, one) == encode_entry(KEY, other)


@given(data=st.data())
def test_every_request_comes_back(any_request: st.SearchStrategy[e.Request], data: st.DataObject) -> None:
    """No kind of request is left out, and one whose time lets it be read the short way is read as it was."""
    started = e.Started(2**51, OplogIndex(2), data.draw(any_request))

    assert decode_entry(KEY, encode_entry(KEY, started)) == started
    assert len(any_request.branches) == len(get_args(e.Request))  # type: ignore[attr-defined]


INVOKED = e.Invoked(5, "f", b"[]", "k", None, None, (), 9)
OLD_INVOKED = forge([2, 5, "f", b"[]", "k", None, None, [], 9])


def test_a_record_from_before_a_field_came_is_what_is_still_written() -> None:
    """An invocation without a retention is read from, and written in, the bytes that it always had."""
    assert decode_entry(KEY, OLD_INVOKED) == INVOKED
    assert encode_entry(KEY, INVOKED) == OLD_INVOKED


@pytest.mark.parametrize(
    ("entry", "fields"),
    [
        (e.CreatePromise(None), [1, None]),
        (e.CreatePromise(None, b"{}"), [1, None, b"{}"]),
        (e.CreatePromise(None, None, "x"), [1, None, None, "x"]),
        (e.Ended(5, OplogIndex(3), e.Value(None)), [4, 5, 3, [0, None]]),
        (e.Ended(5, OplogIndex(3), e.Value(None), 4), [4, 5, 3, [0, None], 4]),
        (e.Ended(5, OplogIndex(3), e.Value(None), None, 2), [4, 5, 3, [0, None], None, 2]),
        (e.Ended(5, OplogIndex(3), e.Value(None), 4, 1, "x"), [4, 5, 3, [0, None], 4, 1, "x"]),
        (e.Interrupted(5, "cli"), [14, 5, "cli"]),
        (e.Resumed(5, "cli", "mended"), [15, 5, "cli", "mended"]),
        (e.Snapshotted(5, 1, b"{}"), [8, 5, 1, b"{}"]),
    ],
)
def test_what_has_its_default_is_left_out(entry: Any, fields: list[Any]) -> None:
    """Fields at the end that have their default take no bytes, and only those; also at the second time of writing."""
    assert dumps(entry) == dumps(entry) == cbor2.dumps(fields, canonical=True)


def test_a_default_that_is_written_out_is_read_but_not_written() -> None:
    """A record that spells out a default is the same entry in other bytes than the writer's."""
    spelled = forge([2, 5, "f", b"[]", "k", None, None, [], 9, None])

    assert decode_entry(KEY, spelled) == INVOKED
    assert encode_entry(KEY, INVOKED) != spelled


def test_entries_are_small() -> None:
    """An entry without payload stays within 40 bytes."""
    assert len(encode_entry(KEY, e.Started(2**51, OplogIndex(2), e.Run("ask_approval")))) <= 40
    assert len(encode_entry(KEY, e.Ended(2**51, OplogIndex(4), e.SameAs(OplogIndex(7))))) <= 40
