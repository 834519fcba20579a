"""Frames: what is encoded comes back however it is cut; what is no frame is refused, and only so."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.executor.protocol.frames import DEPTH_MAX, FRAME_BYTES_MAX, FrameReader, MalformedFrame, encode_frame
from promissory.oplog.errors import BadArguments, LimitReached, RequestError

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text() | st.binary() | st.floats(allow_nan=False)
)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)
messages = st.dictionaries(st.text(), values, max_size=5)


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body


@given(sent=st.lists(messages, max_size=6), data=st.data())
def test_frames_cut_anywhere_come_back_whole_and_in_order(sent: list[dict[str, Any]], data: st.DataObject) -> None:
    """However a stream of frames is cut into pieces, the maps come back as they were, in order."""
    stream = b"".join(encode_frame(message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = FrameReader()
    received: list[dict[str, Any]] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += reader.feed(stream[start:end])

    assert sent == received
    assert reader.feed(encode_frame({})) == [{}], "nothing is left over"


def test_a_frame_fed_byte_by_byte_comes_with_its_last_byte() -> None:
    """A frame is given when its last byte has come, and not before."""
    frame = encode_frame({"id": 1, "data": b"x" * 300})
    reader = FrameReader()

    assert [found for byte in frame[:-1] for found in reader.feed(bytes([byte]))] == []
    assert reader.feed(frame[-1:]) == [{"id": 1, "data": b"x" * 300}]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "premature end"),
        (b"\xa1\x61a", "premature end"),
        (b"\xa1\x61a\x00\x00", "bytes after"),
        (b"\xa0\xa0", "bytes after"),
        (b"\x80", "not a map"),
        (b"\x01", "not a map"),
        (b"\x40", "not a map"),
        (b"\xbf\xff", "indefinite"),
        (b"\xa1\x61a\x7f\xff", "indefinite"),
        (b"\xa1\x61a\x5f\xff", "indefinite"),
        (b"\xa1\x61a\x9f\xff", "indefinite"),
        (b"\xa2\x61a\x00\x61a\x01", "Duplicate"),
        (b"\xa1\x61b\xa2\x61a\x00\x61a\x01", "Duplicate"),
        (b"\xa1\x01\x02", "map key"),
        (b"\xa1\xf4\x02", "map key"),
        (b"\xa1\x80\x02", "map key"),
        (b"\xa1\x61\xff\x00", "utf-8"),
        (b"\xa1\x61a\x1c", "subtype"),
        (b"\xa1\x61a\xff", "break"),
        (b"\xa1\x61a\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", "premature end"),
        (b"\xa1\x61a\x5b\x7f\xff\xff\xff\xff\xff\xff\xff", "premature end"),
        (b"\xa1\x61a" + b"\x81" * DEPTH_MAX + b"\x00", "depth"),
    ],
)
def test_what_is_not_one_strict_map_is_refused(body: bytes, why: str) -> None:
    """A frame that is not exactly one map of strict CBOR is refused, and the message says why."""
    with pytest.raises(MalformedFrame, match=why):
        FrameReader().feed(framed(body))


@pytest.mark.parametrize("number", [2**63, 2**64, -(2**64) - 1, 10**4_000])
def test_integers_of_any_size_come_through(number: int) -> None:
    """An integer that JSON can hold can be shown in a frame."""
    assert FrameReader().feed(encode_frame({"a": [number]})) == [{"a": [number]}]


@pytest.mark.parametrize("tag", [0, 1, *range(4, 64), 100, 256, 258, 260, 261, 1004, 43000, 55799, 2**32, 2**64 - 1])
def test_tags_are_refused(tag: int) -> None:
    """No other tag gets through, neither those that cbor2 decodes by itself nor any other."""
    with pytest.raises(MalformedFrame, match="tag"):
        FrameReader().feed(framed(b"\xa1\x61a\xdb" + struct.pack(">Q", tag) + b"\x40"))


def test_a_frame_over_the_limit_is_refused_by_its_length_alone() -> None:
    """The limit is checked before the body comes; a frame at the limit passes."""
    body = encode_frame({"a": b"x" * 93})[4:]
    reader = FrameReader(max_bytes=len(body))

    assert reader.feed(framed(body)) == [{"a": b"x" * 93}]
    with pytest.raises(MalformedFrame, match=f"{len(body) + 1} bytes is over the limit of {len(body)}"):
        reader.feed(struct.pack(">I", len(body) + 1))
    with pytest.raises(MalformedFrame, match="over the limit of 16777216"):
        FrameReader().feed(b"HTTP/1.1 400 Bad Request\r\n")


def test_frames_before_a_malformed_one_are_not_lost() -> None:
    """The error carries the maps that came with the same bytes before the malformed frame."""
    with pytest.raises(MalformedFrame) as caught:
        FrameReader().feed(
            encode_frame({"id": 1}) + encode_frame({"id": 2}) + framed(b"\x80") + encode_frame({"id": 3})
        )

    assert caught.value.before == ({"id": 1}, {"id": 2})


def test_nothing_is_read_after_a_malformed_frame() -> None:
    """A stream that is out of step stays refused."""
    reader = FrameReader()
    with pytest.raises(MalformedFrame):
        reader.feed(framed(b"\x80"))
    with pytest.raises(MalformedFrame, match="not a map"):
        reader.feed(encode_frame({"id": 1}))


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_maps_or_malformed(junk: bytes, with_length: bool) -> None:
    """Whatever the bytes, the reader gives maps or raises `MalformedFrame`, nothing else."""
    reader = FrameReader()
    try:
        for message in reader.feed(framed(junk) if with_length else junk):
            assert type(message) is dict
    except MalformedFrame:
        pass


def test_a_message_over_the_limit_is_not_encoded() -> None:
    """A sender learns of the limit before anything is sent."""
    assert len(encode_frame({"a": b"x" * (FRAME_BYTES_MAX - 8)})) - 4 == FRAME_BYTES_MAX
    with pytest.raises(LimitReached, match="16777217 bytes is over the limit"):
        encode_frame({"a": b"x" * (FRAME_BYTES_MAX - 7)})


@pytest.mark.parametrize("make", [object, lambda: print, lambda: iter([])])
def test_what_cbor_has_no_form_for_is_the_callers_error(make: Callable[[], object]) -> None:
    """A value that cannot be encoded is `BadArguments`, whatever the encoder raises."""
    with pytest.raises(BadArguments, match="cannot be encoded"):
        encode_frame({"a": make()})


def test_a_malformed_frame_is_the_askers_fault() -> None:
    """`MalformedFrame` stands among the request errors."""
    assert issubclass(MalformedFrame, RequestError)
