"""Frames of the admin socket, sans I/O: a 4-byte big-endian length, then one CBOR map.

The reader takes bytes as they come and gives whole maps. It refuses what no peer of ours would send: a frame over
the limit, anything but one map, bytes after it, tags (but those of large integers, which JSON may hold), indefinite
lengths, duplicate keys, keys that are not strings of text or bytes. A stream that held one such frame cannot be
trusted to be in step: nothing is read after it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any

from cbor2 import CBORDecodeError, CBORDecoder, dumps

from promissory.oplog.errors import BadArguments, LimitReached, RequestError

FRAME_BYTES_MAX = 16 * 1024 * 1024
DEPTH_MAX = 320
"""Deeper than JSON may be nested that is shown in a frame."""

_LENGTH = struct.Struct(">I")
_HEADER_BYTES = _LENGTH.size

_KNOWN_TAGS = (0, 1, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
"""The tags that cbor2 decodes by itself, save 2 and 3; every other one reaches the `tag_hook`."""


class MalformedFrame(RequestError):
    """Bytes that are not a frame of the protocol.

    Args:
      message: what is wrong with them.
      before: the maps of the whole frames that came with those bytes, before them.
    """

    kind = "malformed_frame"

    def __init__(self, message: str, before: tuple[dict[str, Any], ...] = ()) -> None:
        super().__init__(message)
        self.before = before


def _refuse_tag(*_: object) -> Any:
    raise ValueError("tags are refused")


_REFUSED_TAGS = dict.fromkeys(_KNOWN_TAGS, _refuse_tag)


def encode_frame(message: Mapping[str, Any], max_bytes: int = FRAME_BYTES_MAX) -> bytes:
    """Return the frame that holds the map.

    Args:
      message: strings to None, booleans, integers, floats, strings, bytes, lists and maps of these.
      max_bytes: the most that the map may take, encoded.

    Raises:
      LimitReached: it takes more.
      BadArguments: it holds a value that CBOR has no form for.
    """
    try:
        body = dumps(message)
    except Exception as exc:  # whatever a value's own methods raise while they are asked for their parts
        raise BadArguments(f"a message cannot be encoded: {exc}") from exc
    if len(body) > max_bytes:
        raise LimitReached(f"a frame of {len(body)} bytes is over the limit of {max_bytes}", "size")
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Cuts a stream of bytes into the maps of its frames.

    Args:
      max_bytes: the longest frame that is accepted, without its length.
    """

    __slots__ = ("_decoder", "_error", "_max_bytes", "_needed_bytes", "_rest")

    def __init__(self, max_bytes: int = FRAME_BYTES_MAX) -> None:
        self._max_bytes = max_bytes
        self._rest = bytearray()
        self._needed_bytes = 0
        self._error: MalformedFrame | None = None
        # One decoder for all frames, given a new file for each: half the price of `loads`' arguments each time, and
        # the file's position tells whether bytes are left over, which `loads` does not say.
        self._decoder = CBORDecoder(
            BytesIO(),
            tag_hook=_refuse_tag,
            semantic_decoders=_REFUSED_TAGS,
            max_depth=DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
        )

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Take bytes and return the maps of the frames that they finish, in order.

        Raises:
          MalformedFrame: a frame is none; its `before` has the maps of those that came before it. From then on every
            call raises it.
        """
        if self._error is not None:
            raise MalformedFrame(self._error.message)
        chunk: bytes | bytearray = data
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed_bytes:
                return []
            chunk, self._rest = self._rest, bytearray()
        frames: list[dict[str, Any]] = []
        size = len(chunk)
        start = 0
        self._needed_bytes = _HEADER_BYTES
        while size - start >= _HEADER_BYTES:
            (length,) = _LENGTH.unpack_from(chunk, start)
            if length > self._max_bytes:
                raise self._refuse(f"a frame of {length} bytes is over the limit of {self._max_bytes}", frames)
            end = start + _HEADER_BYTES + length
            if end > size:
                self._needed_bytes = end - start
                break
            frames.append(self._decode(chunk[start + _HEADER_BYTES : end], frames))
            start = end
        if start < size:
            self._rest += memoryview(chunk)[start:]
        return frames

    def _decode(self, body: bytes | bytearray, before: list[dict[str, Any]]) -> dict[str, Any]:
        self._decoder.fp = file = BytesIO(body)
        try:
            message = self._decoder.decode()
        except (CBORDecodeError, ValueError, RecursionError, MemoryError) as exc:
            raise self._refuse(f"a frame is not strict CBOR: {_reason(exc)}", before) from exc
        if type(message) is not dict:
            raise self._refuse("a frame is not a map", before)
        if file.tell() != len(body):
            raise self._refuse("a frame holds bytes after its map", before)
        return message

    def _refuse(self, message: str, before: list[dict[str, Any]]) -> MalformedFrame:
        self._error = MalformedFrame(message, tuple(before))
        return self._error


def _reason(exc: BaseException) -> str:
    cause = exc.__cause__
    return f"{exc}: {cause}" if cause is not None else str(exc)
