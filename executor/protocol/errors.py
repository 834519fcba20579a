"""Errors as maps of the admin protocol, and back: `code` is the `kind` of an error of the one tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promissory.executor.protocol.frames import MalformedFrame
from promissory.oplog import errors
from promissory.oplog.errors import PromissoryError, TerminalError, terminal_error

_CONTEXT: dict[str, type] = {"worker": str, "index": int, "expected": str, "found": str}

MESSAGE_CHARS_MAX = 4_096
"""Refusals quote what was asked; they do not send megabytes of it back. What a handler raised is sent whole."""

_BY_KIND: dict[str, type[PromissoryError]] = {
    cls.kind: cls
    for cls in (*vars(errors).values(), MalformedFrame)
    if isinstance(cls, type) and issubclass(cls, PromissoryError)
}


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
    for name in _CONTEXT:
        value = getattr(exc, name)
        if value is not None:
            wire[name] = value
    if isinstance(exc, TerminalError):
        wire["status"] = exc.code
    if invocation is not None:
        wire["invocation"] = invocation
    return wire


def error_from_wire(wire: Mapping[str, Any]) -> PromissoryError:
    """Build the error that a map stands for; a code of a later version gives the tree's root.

    It never fails: fields of the wrong type are left out, so that what a peer says is always heard.
    """
    kind = wire.get("code")
    message = wire.get("message")
    cls = _BY_KIND.get(kind, PromissoryError) if isinstance(kind, str) else PromissoryError
    text = message if isinstance(message, str) else f"the executor answered {kind!r} and did not say why"
    error: PromissoryError
    if issubclass(cls, TerminalError):
        status = wire.get("status")
        error = terminal_error(cls.kind, text, status if type(status) is int else 500)
    else:
        error = cls(text)
    for name, expected_type in _CONTEXT.items():
        value = wire.get(name)
        if type(value) is expected_type:
            setattr(error, name, value)
    return error
