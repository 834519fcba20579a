"""The shortcut against the general decoder: what it reads is what the other reads, and it reads nothing more."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.oplog import entries as e
from promissory.oplog.cbor import dumps
from promissory.oplog.codec import RECORD_VERSION, decode_cbor, encode_entry
from promissory.oplog.errors import OplogCorrupt
from promissory.oplog.ids import OplogIndex
from promissory.oplog.shortcut import reader

KINDS = {kind.__struct_config__.tag: kind for kind in (e.Started, e.Ended, e.Completed)}
TIME = 1_767_225_600_000_000


def convert(body: bytes, kind: Any) -> Any:
    try:
        return msgspec.convert(decode_cbor(body), kind, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise OplogCorrupt(str(error)) from None


def general(body: bytes) -> e.Entry:
    """Decode without the shortcut."""
    fields = decode_cbor(body)
    if not isinstance(fields, list) or not fields or type(fields[0]) is not int or fields[0] not in KINDS:
        raise OplogCorrupt("another kind")
    entry: e.Entry = convert(body, KINDS[fields[0]])
    return entry


KEY = bytes(15) + b"\x01"
read_record = reader(RECORD_VERSION, lambda body: convert(body, e.Request))


def read(body: bytes) -> e.Entry | None:
    """Read a body by the shortcut, in a sound record."""
    return read_record(KEY, bytes([RECORD_VERSION]) + crc32(KEY + b"\0" + body).to_bytes(4, "big") + b"\0" + body)


def agree(body: bytes) -> None:
    """Assert that the shortcut leaves a body alone, or does with it what the general decoder does."""
    try:
        found = read(body)
    except OplogCorrupt:
        with pytest.raises(OplogCorrupt):
            general(body)
        return
    if found is not None:
        expected = general(body)
        assert (type(found), found) == (type(expected), expected)


@given(data=st.data())
def test_entries_are_read_alike(any_entry: st.SearchStrategy[e.Entry], data: st.DataObject) -> None:
    """Any entry, whole or with a byte changed, cut out or put in, is read alike or left to the other."""
    body = dumps(data.draw(any_entry))
    agree(body)
    place = data.draw(st.integers(0, len(body) - 1))
    byte = data.draw(st.binary(max_size=2))
    agree(body[:place] + byte + body[place + 1 :])
    agree(body[:place] + byte + body[place:])
    agree(body[:place])


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 2**64 - 1), st.binary(max_size=40))
def test_anything_behind_a_familiar_head_is_read_alike(kind: int, time: int, rest: bytes) -> None:
    """Whatever bytes follow the head that the shortcut looks for, both decoders agree."""
    agree(bytes((0x84, kind, 0x1B)) + time.to_bytes(8, "big") + rest)


@given(
    st.integers(2**32, 2**63 - 1),
    st.sampled_from([1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1]),
    st.sampled_from([None, b"", b"x" * 23, b"x" * 24, b"x" * 255]),
)
def test_the_usual_is_read_here(time: int, index: int, data: bytes | None) -> None:
    """Short values at any usual index take the shortcut."""
    for entry in (e.Ended(time, OplogIndex(index), e.Value(data)), e.Completed(time, OplogIndex(index), e.Value(data))):
        assert read(dumps(entry)) == entry
    started = e.Started(time, OplogIndex(index), e.Run("ask"))
    assert read(dumps(started)) == started


@pytest.mark.parametrize(
    "entry",
    [
        e.Ended(5, OplogIndex(3), e.Value(b"1")),
        e.Ended(TIME, OplogIndex(2**32), e.Value(b"1")),
        e.Ended(TIME, OplogIndex(3), e.Value(b"x" * 256)),
        e.Ended(TIME, OplogIndex(3), e.SameAs(OplogIndex(2))),
        e.Completed(TIME, OplogIndex(3), e.Failure("terminal", "no", 500)),
        e.Started(TIME, OplogIndex(3), e.Run("x" * 100)),
        e.Abandoned(TIME, OplogIndex(3)),
    ],
)
def test_the_unusual_is_left_alone(entry: e.Entry) -> None:
    """Everything else is for the general decoder."""
    assert read(dumps(entry)) is None


def test_it_reads_no_damaged_record() -> None:
    """A record with another version, or one that lies under another's key, is left to the general decoder."""
    entry = e.Ended(TIME, OplogIndex(300), e.Value(b"1"))
    record = encode_entry(KEY, entry)

    assert read_record(KEY, record) == entry
    assert read_record(bytes(16), record) is None
    assert read_record(KEY, b"\x03" + record[1:]) is None
