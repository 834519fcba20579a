"""An entry as JSON shows it: `promissory oplog --json` and the admin socket's `oplog.read`. FORMAT.md has the rules."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from promissory.oplog import entries as e
from promissory.oplog.ids import WorkerId

MASK = "***"
"""What stands for the seed: whoever knows it can make the worker's awakeable ids."""

DEPTH_MAX = 48
"""JSON nested deeper than this, or with integers beyond 64 bits, is shown as the bytes that it is."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(timestamp_us: int) -> str:
    """Return a time as RFC 3339 in UTC, with microseconds and `Z`; past the year 9999 the number as text."""
    try:
        when = _EPOCH + timedelta(microseconds=timestamp_us)
    except OverflowError:
        return str(timestamp_us)
    return when.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def render(index: int, entry: e.Entry) -> dict[str, Any]:
    """Return an entry as plain values that JSON can hold: index, kind, timestamp, then the fields by their names.

    The fields of a `Started`'s request stand beside its `call`. Only the seed is left out; arguments that are JSON
    text lose nothing but their white space, every other byte string comes back exactly.

    Args:
      index: where the entry stands in its oplog.
      entry: any entry.
    """
    shown: dict[str, Any] = {"index": index, "kind": type(entry).__name__, "timestamp": rfc3339(entry.timestamp)}
    for name in entry.__struct_fields__[1:]:
        if name == "request":
            request = entry.request  # type: ignore[attr-defined]
            shown["call"] = request.call
            shown.update((field, _field(request, field)) for field in request.__struct_fields__)
        else:
            shown[name] = _field(entry, name)
    return shown


def payload(data: bytes) -> dict[str, str]:
    """Return bytes that are nobody's JSON: `{"text": …}` if they are UTF-8, else `{"base64": …}`."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _field(of: e.Packed, name: str) -> Any:
    return _FIELDS.get((type(of), name), _plain)(getattr(of, name))


def _plain(value: Any) -> Any:
    """Show what needs no rule of its own: text and numbers as they are, workers by their text form."""
    if isinstance(value, WorkerId):
        return str(value)
    if isinstance(value, bytes):
        return payload(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _json(data: bytes) -> Any:
    """Show a field that holds JSON text as what it says; other bytes as base64."""
    try:
        return _portable(msgspec.json.decode(data))
    except (ValueError, RecursionError):
        return base64.b64encode(data).decode()


def _maybe_json(data: bytes | None) -> Any:
    return None if data is None else _json(data)


def _portable(value: Any, depth: int = 0) -> Any:
    """Return a JSON value that every reader, and a frame of the admin socket, can hold.

    Raises:
      ValueError: it is nested too deeply, or holds an integer beyond 64 bits.
    """
    if depth > DEPTH_MAX:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        for item in value:
            _portable(item, depth + 1)
    elif isinstance(value, dict):
        for item in value.values():
            _portable(item, depth + 1)
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("an integer beyond 64 bits")
    return value


def _outcome(outcome: e.Value | e.Failure | e.SameAs) -> dict[str, Any]:
    """Show an outcome so that its bytes can be had again: as JSON only if writing that gives the same bytes."""
    if isinstance(outcome, e.SameAs):
        return {"same_as": outcome.index}
    if isinstance(outcome, e.Failure):
        return {"error": {"kind": outcome.kind, "message": outcome.message, "code": outcome.code}}
    if outcome.data is None:
        return {"nothing": True}
    try:
        value = msgspec.json.decode(outcome.data)
        if msgspec.json.encode(value) == outcome.data:
            return {"value": _portable(value)}
    except (ValueError, RecursionError):
        pass
    return payload(outcome.data)


def _settlement(outcome: e.Outcome) -> dict[str, Any]:
    """Show the outcome of a promise: a payload is bytes, even when it happens to be JSON."""
    if isinstance(outcome, e.Value) and outcome.data is not None:
        return payload(outcome.data)
    return _outcome(outcome)


def _time(timestamp_us: int | None) -> str | None:
    return None if timestamp_us is None else rfc3339(timestamp_us)


def _masked(_: bytes) -> str:
    return MASK


_FIELDS: dict[tuple[type[e.Packed], str], Callable[[Any], Any]] = {
    (e.Created, "args"): _json,
    (e.Created, "state"): _maybe_json,
    (e.Created, "seed"): _masked,
    (e.Invoked, "params"): _json,
    (e.Invoked, "due"): _time,
    (e.Ended, "outcome"): _outcome,
    (e.Ended, "began"): _time,
    (e.Completed, "outcome"): _outcome,
    (e.Settled, "outcome"): _settlement,
    (e.Snapshotted, "state"): _json,
    (e.Errored, "next_attempt"): _time,
    (e.CreatePromise, "schema"): _maybe_json,
    (e.Call, "params"): _json,
    (e.Send, "params"): _json,
    (e.Send, "due"): _time,
    (e.Ask, "params"): _json,
    (e.SettleAwakeable, "outcome"): _settlement,
    (e.NamedPromise, "due"): _time,
}
"""The fields that are shown in a way of their own."""
