"""Entries to bytes and back, strictly: what is read is exactly what this writer would have written.

A record is `version u8 | CRC-32 u32 | codec u8 | body`. The checksum covers the record's key and what follows it, so
an entry that lies in another entry's place is found as well. The codec is that of payloads; there is none yet but 0, as
they are. The body is one canonical CBOR array: kind, timestamp, then the
fields of the kind in the order of FORMAT.md. Positions instead of names keep an entry near 40 bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from typing import Any, NoReturn, get_args

import cbor2
import msgspec

from promissory.oplog.cbor import dumps
from promissory.oplog.entries import AnyEntry, Ended, Entry, Request, SameAs
from promissory.oplog.errors import NewerFormat, OplogCorrupt
from promissory.oplog.shortcut import reader

RECORD_VERSION = 2
PLAIN = 0
"""The codec of payloads that are recorded as they are."""
_PLAIN = bytes([PLAIN])
_HEAD = struct.Struct(">BI")
_BODY_AT = _HEAD.size + len(_PLAIN)
_BYTES = (bytes,)
_SEAL_MIN = 1 << 63
_SEAL_MASK = _SEAL_MIN - 1

_KINDS: dict[int, type[Entry]] = {kind.__struct_config__.tag: kind for kind in get_args(AnyEntry)}


def encode_entry(key: bytes, entry: Entry) -> bytes:
    """Return the record of an entry that is to lie under `key`."""
    body = dumps(entry, _PLAIN)
    return _HEAD.pack(RECORD_VERSION, zlib.crc32(body, zlib.crc32(key))) + body


def decode_entry(key: bytes, record: bytes) -> Entry:
    """Return the entry of a record found under `key`.

    A record that only a forger could write (a right checksum over another encoding of the same values) may pass; it
    is `check` that encodes again and compares.

    Raises:
      OplogCorrupt: the record is not what `encode_entry` writes.
      NewerFormat: its version, or the codec of its payloads, is newer than this reader.
    """
    entry = _read(key, record)
    if entry is not None:
        return entry
    if len(record) < _BODY_AT:
        raise OplogCorrupt(f"record of {len(record)} bytes", expected="at least 6 bytes", found=str(len(record)))
    version, checksum = _HEAD.unpack_from(record)
    if version != RECORD_VERSION:
        error = NewerFormat if version > RECORD_VERSION else OplogCorrupt
        raise error(f"record version {version}", expected=str(RECORD_VERSION), found=str(version))
    actual = zlib.crc32(record[_HEAD.size :], zlib.crc32(key))
    if actual != checksum:
        raise OplogCorrupt("record with a wrong checksum", expected=f"{checksum:08x}", found=f"{actual:08x}")
    codec = record[_HEAD.size]
    if codec != PLAIN:
        raise NewerFormat(f"payloads in codec {codec}", expected=str(PLAIN), found=str(codec))
    fields = decode_cbor(record[_BODY_AT:])
    try:
        # Told that bytes are built in, msgspec does not take base64 text for them.
        return msgspec.convert(fields, _KINDS[fields[0]], builtin_types=_BYTES)
    except (msgspec.ValidationError, LookupError, TypeError) as error:
        raise OplogCorrupt(f"unknown kind or fields: {error}") from None


def decode_entries(rows: Iterable[tuple[bytes, bytes]]) -> tuple[list[Entry], list[int]] | None:
    """Return the entries of many keys and records, and where among them are those that say `SameAs`.

    None if one cannot be read, which `decode_entry` then explains.
    """
    found: list[Entry] = []
    same: list[int] = []
    read, append = _read, found.append
    try:
        for key, record in rows:
            entry = read(key, record)
            if entry is None:
                entry = decode_entry(key, record)
                if type(entry) is Ended and type(entry.outcome) is SameAs:
                    same.append(len(found))
            append(entry)
    except (OplogCorrupt, NewerFormat):
        return None
    return found, same


def _decode_request(body: bytes) -> Request:
    try:
        request: Request = msgspec.convert(decode_cbor(body), Request, builtin_types=_BYTES)
    except (msgspec.ValidationError, TypeError) as error:
        raise OplogCorrupt(f"unknown request or fields: {error}") from None
    return request


_read = reader(RECORD_VERSION, _decode_request)


def decode_cbor(body: bytes) -> Any:
    """Decode one CBOR item that fills `body`, refusing tags, indefinite lengths, duplicate keys and trailing bytes.

    Raises:
      OplogCorrupt: it is not such an item.
    """
    # `loads` is silent about what follows the item it read. Read as the first of a pair, any excess or lack moves the
    # second item out of its place: the body's hash, which no body holds itself, in nine bytes, so that no tail of them
    # reads as it. A stream and `tell()` would say the same at twice the cost.
    seal = hash(body) & _SEAL_MASK | _SEAL_MIN
    try:
        item, end = cbor2.loads(
            b"\x82" + body + b"\x1b" + seal.to_bytes(8, "big"),
            tag_hook=_refuse,
            semantic_decoders=_TAGS,
            allow_indefinite=False,
            allow_duplicate_keys=False,
        )
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise OplogCorrupt(f"not one item of canonical CBOR: {error}") from None
    if end != seal or type(end) is not int:
        raise OplogCorrupt("trailing bytes", expected="one item")
    return item


def _refuse(*_: object) -> NoReturn:
    raise ValueError("a tag")


_TAGS = dict.fromkeys(
    (0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799),
    _refuse,
)
