"""Reads the three kinds that nearly all of a long oplog consists of, in their usual form, without a general decoder.

`Started`, `Ended` and `Completed` begin alike: kind, timestamp, one index. What follows is either a short value, which
is cut out, or a request, of which an oplog has few different ones: those are decoded once and remembered. Any other
form, canonical or not, is left to the general decoder, so nothing is read here that it would refuse or read otherwise.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable

from oplog.entries import Completed, Ended, Entry, Request, Started, Value
from oplog.ids import INDEX_MAX, OplogIndex

REQUEST_BYTES_MAX = 64
"""Longer requests are not remembered."""
_REMEMBERED_MAX = 1_024

_START = struct.Struct(">BBBQB")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_VALUE = b"\x82\x00"
_NOTHING = b"\x82\x00\xf6"


def reader(decode_request: Callable[[bytes], Request]) -> Callable[[bytes], Entry | None]:
    """Return a function that reads the body of an entry, or returns None for the general decoder to read it.

    Args:
      decode_request: reads a request that fills its bytes; whatever it raises comes out.
    """
    remembered = functools.lru_cache(_REMEMBERED_MAX)(decode_request)

    def read(body: bytes) -> Entry | None:
        size = len(body)
        if size < 15:
            return None
        array, kind, width, time, index = _START.unpack_from(body)
        if array != 0x84 or width != 0x1B or not 0xFFFF_FFFF < time <= INDEX_MAX:
            return None
        if index < 24:
            at = 12
        elif index == 25:
            (index,) = _U16.unpack_from(body, 12)
            at = 14
            if index < 1 << 8:
                return None
        elif index == 24:
            index = body[12]
            at = 13
            if index < 24:
                return None
        elif index == 26 and size > 16:
            (index,) = _U32.unpack_from(body, 12)
            at = 16
            if index < 1 << 16:
                return None
        else:
            return None
        if not index:
            return None
        if kind == 3:
            if size - at > REQUEST_BYTES_MAX:
                return None
            return Started(time, OplogIndex(index), remembered(body[at:]))
        if kind != 4 and kind != 7:
            return None
        value = _value(body, at, size)
        if value is None:
            return None
        return Ended(time, OplogIndex(index), value) if kind == 4 else Completed(time, OplogIndex(index), value)

    return read


def _value(body: bytes, at: int, size: int) -> Value | None:
    """Return the value that fills the rest of a body, if it is one of less than 256 bytes."""
    head = body[at : at + 3]
    if head[:2] != _VALUE or len(head) < 3:
        return None
    length = head[2] - 0x40
    at += 3
    if 0 <= length < 24:
        return Value(body[at:]) if size - at == length else None
    if length == 24 and size > at:
        length = body[at]
        at += 1
        return Value(body[at:]) if size - at == length >= 24 else None
    return Value(None) if head == _NOTHING and size == at else None
