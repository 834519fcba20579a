"""Errors as maps of the admin protocol, and back: `code` is the `kind` of an error of the one tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promissory.executor.protocol.frames import MalformedFrame
from promissory.oplog import errors
from promissory.oplog.errors import LIMIT_KINDS, LimitReached, PromissoryError, TerminalError

_CONTEXT: dict[str, type] = {"worker": str, "index": int, "expected": str, "found": str}

MESSAGE_CHARS_MAX = 4_096
"""Refusals quote what was asked; they do not send megabytes of it back. What a handler raised is sent whole."""

_BY_KIND: dict[str, type[PromissoryError]] = {
    cls.kind: cls
    for cls in (*vars(errors).values(), MalformedFrame)
    if isinstance(cls, type) and issubclass(cls, PromissoryError)
}


def _families(cls: type[PromissoryError]) -> list[str]:
    """Return the codes of the classes that a class is one of, nearest first, the root left out."""
    found = [base.kind for base in cls.__mro__[1:] if issubclass(base, PromissoryError)]
    return [kind for kind in dict.fromkeys(found) if kind not in (cls.kind, PromissoryError.kind)]


def error_to_wire(exc: PromissoryError, *, invocation: str | None = None) -> dict[str, Any]:
    """Return the map that stands for an error in an answer.

    Args:
      exc: the error; its class gives the code.
      invocation: the id of the invocation that it is the outcome of, if it is one.
    """
    message = str(exc.message)
    if len(message) > MESSAGE_CHARS_MAX and not isinstance(exc, TerminalError):
        message = f"{message[:MESSAGE_CHARS_MAX]}… ({len(message)} characters)"
    wire: dict[str, Any] = {"code": exc.kind, "message": message}
    families = _families(type(exc))
    if families:
        wire["families"] = families
    for name in _CONTEXT:
        value = getattr(exc, name)
        if value is not None:
            wire[name] = value
    if isinstance(exc, TerminalError):
        wire["status"] = exc.code
    if isinstance(exc, LimitReached):
        wire["limit"] = exc.limit
    invocation = invocation or exc.invocation
    if invocation is not None:
        wire["invocation"] = invocation
    return wire


def error_from_wire(wire: Mapping[str, Any]) -> PromissoryError:
    """Build the error that a map stands for.

    A code of a later version gives the nearest of its families that this one knows, the tree's root if it knows none.
    It never fails: fields of the wrong type are left out, so that what a peer says is always heard.
    """
    kind, message = wire.get("code"), wire.get("message")
    cls = _class_of(kind, wire.get("families"))
    text = message if isinstance(message, str) else f"the executor answered {kind!r} and did not say why"
    error: PromissoryError
    if issubclass(cls, TerminalError):
        status = wire.get("status")
        error = cls(text, status if type(status) is int else 500)
    elif issubclass(cls, LimitReached):
        limit = next((known for known in LIMIT_KINDS if known == wire.get("limit")), LIMIT_KINDS[0])
        error = cls(text, limit)
    else:
        error = cls(text)
    for name, expected_type in {**_CONTEXT, "invocation": str}.items():
        value = wire.get(name)
        if type(value) is expected_type:
            setattr(error, name, value)
    return error


def _class_of(kind: object, families: object) -> type[PromissoryError]:
    codes = [kind, *families] if isinstance(families, Sequence) else [kind]
    known = (_BY_KIND[code] for code in codes if isinstance(code, str) and code in _BY_KIND)
    return next(known, PromissoryError)
