"""Paths as they were sent: cut at their slashes first and decoded afterwards, so that `a%2Fb` is one segment."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from starlette.types import Scope

from promissory.executor.http.door.refusals import Refusal

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def split(scope: Scope) -> list[str]:
    """Return the segments of a request's path below where the application is mounted, still percent-encoded.

    Raises:
      Refusal: the path is not ASCII.
    """
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    try:
        segments = raw.partition(b"?")[0].decode("ascii").split("/")
    except UnicodeDecodeError:
        raise Refusal(400, "bad path: what is not ASCII must be percent-encoded") from None
    root = scope.get("root_path")
    first = 1
    if root and root != "/" and f"{scope['path']}/".startswith(f"{root.rstrip('/')}/"):
        first += root.strip("/").count("/") + 1
    return segments[first:]


def decoded(segment: str) -> str:
    """Return a segment without its percent-encoding.

    Raises:
      Refusal: it is malformed or not UTF-8.
    """
    if "%" not in segment:
        return segment
    if _BAD_ESCAPE.search(segment):
        raise Refusal(400, f"bad path: {segment!r} holds a '%' that encodes nothing")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise Refusal(400, f"bad path: {segment!r} is not UTF-8") from None
