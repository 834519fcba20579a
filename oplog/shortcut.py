"""Reads the three kinds that nearly all of a long oplog consists of, in their usual form, without a general decoder.

`Started`, `Ended` and `Completed` begin alike: kind, timestamp, one index. What follows is either a short value, which
is cut out, or a request, of which an oplog has few different ones: those are decoded once and remembered. Any other
record, sound or not, is left to the general decoder, so nothing is read here that it would refuse or read otherwise.
Replay reads two such entries for each `run`; this way they cost a third.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from zlib import crc32

from promissory.oplog.entries import Completed, Ended, Entry, Request, Started, Value
from promissory.oplog.ids import INDEX_MAX

REQUEST_BYTES_MAX = 64
"""Longer requests are not remembered."""
_REMEMBERED_MAX = 1_024

_START = struct.Struct(">BIBHBQB")
"""Version, checksum, codec; head of the array and kind, head of the timestamp, timestamp; head of the index."""
_STARTED, _ENDED, _COMPLETED = 0x8403, 0x8404, 0x8407
"""An array of four whose first is the kind."""
_CHECKED_AT = 5
"""Where what the checksum covers begins."""
_AFTER_INDEX_AT = _START.size
"""Where what follows an index below 24 begins; a greater one takes 1, 2 or 4 bytes more."""
_VALUE = b"\x82\x00"


def reader(version: int, decode_request: Callable[[bytes], Request]) -> Callable[[bytes, bytes], Entry | None]:
    """Return a function that reads the record under a key, or returns None for the general decoder to read it.

    Args:
      version: the version of records.
      decode_request: reads a request that fills its bytes; whatever it raises comes out.
    """
    remembered = functools.lru_cache(_REMEMBERED_MAX)(decode_request)

    def read(key: bytes, record: bytes) -> Entry | None:
        size = len(record)
        at = _AFTER_INDEX_AT
        if size < at + 3:
            return None
        found, checksum, codec, kind, width, time, index = _START.unpack_from(record)
        if found != version or codec or width != 0x1B or not 0xFFFF_FFFF < time <= INDEX_MAX:
            return None
        if index == 25:
            index = record[at] << 8 | record[at + 1]
            at += 2
            if index < 1 << 8:
                return None
        elif index == 26:
            index = int.from_bytes(record[at : at + 4], "big")
            at += 4
            if index < 1 << 16:
                return None
        elif index == 24:
            index = record[at]
            at += 1
            if index < 24:
                return None
        elif index > 23:
            return None
        if not index or size < at + 3 or crc32(key + record[_CHECKED_AT:]) != checksum:
            return None
        if kind == _STARTED:
            return Started(time, index, remembered(record[at:])) if size - at <= REQUEST_BYTES_MAX else None
        if (kind != _ENDED and kind != _COMPLETED) or record[at : at + 2] != _VALUE:
            return None
        length = record[at + 2] - 0x40
        at += 3
        if 0 <= length < 24:
            if size - at != length:
                return None
            value = Value(record[at:])
        elif length == 24 and size > at and 24 <= record[at] == size - at - 1:
            value = Value(record[at + 1 :])
        elif length == 0xF6 - 0x40 and size == at:
            value = Value(None)
        else:
            return None
        return Ended(time, index, value) if kind == _ENDED else Completed(time, index, value)

    return read
