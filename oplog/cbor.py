"""Canonical CBOR (RFC 8949, section 4.2.1) of what an entry is made of, and of nothing else.

Integers, byte and text strings, None, booleans, arrays, maps with text keys, and `Packed` values as arrays that begin
with their tag. Fields with a default came later than their kind: they stand at its end, and those at the very end that
have their default are left out, so what a kind was before they came is still written as it was then.

cbor2 reads it back; tests hold the two against each other. It is here because an executor encodes two entries for each
invocation: cbor2's encoder, which must look at every type there is, takes twice as long for most.
"""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from promissory.oplog.ids import WorkerId

_astuple = msgspec.structs.astuple


def dumps(value: Any, head: bytes = b"") -> bytes:
    """Return the canonical encoding of a value, after `head`.

    Raises:
      TypeError: it holds something that no entry is made of.
    """
    out = bytearray(head)
    _write((value,), out)
    return bytes(out)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes((major | number,))
    if number < 1 << 8:
        return bytes((major | 24, number))
    if number < 1 << 16:
        return (major | 25).to_bytes(1, "big") + number.to_bytes(2, "big")
    if number < 1 << 32:
        return (major | 26).to_bytes(1, "big") + number.to_bytes(4, "big")
    return (major | 27).to_bytes(1, "big") + number.to_bytes(8, "big")


def _write(items: Any, out: bytearray) -> None:
    """Write items one after another; the kinds that most entries are made of come first."""
    for item in items:
        kind = type(item)
        if kind is int:
            if 0 <= item < 24:
                out.append(item)
            elif item > 0xFFFF_FFFF:
                out += b"\x1b" + item.to_bytes(8, "big")
            elif item < 0:
                out += _head(0x20, -1 - item)
            else:
                out += _head(0, item)
        elif kind is bytes:
            size = len(item)
            if size < 24:
                out.append(0x40 + size)
            else:
                out += _head(0x40, size)
            out += item
        elif item is None:
            out.append(0xF6)
        elif kind is str:
            text = item.encode()
            size = len(text)
            if size < 24:
                out.append(0x60 + size)
            else:
                out += _head(0x60, size)
            out += text
        elif kind is WorkerId:
            out += _worker_id(item)
        elif kind in _fixed:
            out += _fixed[kind]
            _write(_astuple(item), out)
        elif kind in _grown or issubclass(kind, msgspec.Struct):
            _write_grown(item, out)
        elif kind is tuple or kind is list:
            out += _head(0x80, len(item))
            _write(item, out)
        elif kind is bool:
            out.append(0xF5 if item else 0xF4)
        elif kind is dict:
            out += _head(0xA0, len(item))
            for key, value in sorted((dumps(key), value) for key, value in item.items()):
                out += key
                _write((value,), out)
        else:
            raise TypeError(f"{kind.__name__} has no place in an entry")


@functools.lru_cache(maxsize=4096)
def _worker_id(item: WorkerId) -> bytes:
    """Return a worker's id: few different ones are written often, a chain of calls names each of its workers."""
    out = bytearray(_packed_head(WorkerId, 2))
    _write(_astuple(item), out)
    return bytes(out)


_fixed: dict[type, bytes] = {}
"""The heads of the kinds that always have all of their fields."""
_grown: dict[type, tuple[tuple[Any, ...], tuple[bytes, ...]]] = {}
"""Of the kinds whose last fields may be left out: their defaults in order, and the heads by how many are left out."""


def _write_grown(item: msgspec.Struct, out: bytearray) -> None:
    """Write a kind whose last fields may be left out, or one that is written for the first time."""
    kind = type(item)
    known = _grown.get(kind)
    if known is None:
        defaults = kind.__struct_defaults__
        size = len(kind.__struct_fields__)
        heads = tuple(_packed_head(kind, size - count) for count in range(len(defaults) + 1))
        if defaults:
            _grown[kind] = defaults, heads
        else:
            _fixed[kind] = heads[0]
    else:
        defaults, heads = known
    fields = _astuple(item)
    count = len(defaults)
    while count and fields[-count:] != defaults[-count:]:  # most often all have their default
        count -= 1
    out += heads[count]
    _write(fields[:-count] if count else fields, out)


def _packed_head(kind: type[msgspec.Struct], size: int) -> bytes:
    """Return the head of an array of so many fields and, if the kind has one, its tag."""
    tag = kind.__struct_config__.tag
    return _head(0x80, size) if tag is None else _head(0x80, size + 1) + _head(0, int(tag))
