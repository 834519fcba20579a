"""Durable promises by name, under both spellings of their service and in both shapes of its requests."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from promissory.executor.http.door.exchange import Exchange
from promissory.executor.http.door.refusals import JSON, Answer, Refusal
from promissory.executor.http.upstream.upstream import Daemon
from promissory.oplog.errors import PromiseDeleted
from promissory.oplog.ids import NAME_SCHEME

_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_NAMES = ("promiseName", "promiseId")
_DISPOSED = "promise was disposed"
_NOT_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What reading bytes raises that are no JSON, or are nested too deeply."""


class DurablePromises:
    """`/durablePromiseServer/{operation}` and `/promise/{operation}`."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    async def peek(self, exchange: Exchange) -> Answer:
        """Answer with the outcome, `null` while there is none."""
        name, _ = _read(await exchange.body())
        return _outcome(await self._daemon.request("promise.poll", {"promise": name}))

    async def wait(self, exchange: Exchange) -> Answer:
        """Answer with the outcome when there is one."""
        name, _ = _read(await exchange.body())
        try:
            return _outcome(await self._daemon.request("promise.await", {"promise": name}, exchange.receive))
        except PromiseDeleted:
            raise Refusal(500, _DISPOSED, "invocation") from None

    async def resolve(self, exchange: Exchange) -> Answer:
        """Resolve, and answer with the actual outcome, which is an earlier one if there was one."""
        name, given = _read(await exchange.body())
        data = _value(given)
        return _outcome(await self._daemon.request("promise.complete", {"promise": name, "data": data}))

    async def reject(self, exchange: Exchange) -> Answer:
        """Reject, and answer with the actual outcome."""
        name, given = _read(await exchange.body())
        message = _text(given, "errorMessage")
        return _outcome(await self._daemon.request("promise.reject", {"promise": name, "message": message}))

    async def dispose(self, exchange: Exchange) -> Answer:
        """Delete: who waits is told so, and the name is open again."""
        name, _ = _read(await exchange.body())
        await self._daemon.request("promise.delete", {"promise": name})
        return Answer(200)


def _read(body: bytes) -> tuple[str, dict[str, msgspec.Raw]]:
    """Return the promise that a body names, as the admin protocol does, and the other fields.

    Raises:
      Refusal: it is no JSON object, or lacks the name.
    """
    try:
        given = _decode(body)
        if "request" in given:
            given |= _decode(given["request"])
    except _NOT_JSON as error:
        raise Refusal(400, f"the body is not a JSON object with a promise's name: {error}") from None
    field = next((name for name in _NAMES if name in given), None)
    if field is None:
        raise Refusal(400, "field `promiseName` (or `promiseId`) is missing")
    return f"{NAME_SCHEME}{_text(given, field)}", given


def _value(given: dict[str, msgspec.Raw]) -> bytes:
    """Return the value that a promise is resolved with, as it was written.

    Raises:
      Refusal: it is no JSON, which nobody who waits could read.
    """
    value = given.get("value")
    if value is None:
        return b""
    try:
        msgspec.json.decode(value)
    except _NOT_JSON as error:
        raise Refusal(400, f"field `value` is not JSON: {error}") from None
    return bytes(value)


def _text(given: dict[str, msgspec.Raw], field: str) -> str:
    if field not in given:
        raise Refusal(400, f"field `{field}` is missing")
    try:
        return msgspec.json.decode(given[field], type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Refusal(400, f"field `{field}` is not a text") from None


def _outcome(promise: dict[str, Any]) -> Answer:
    """Return a promise's outcome as the service does."""
    state = promise["state"]
    if state == "pending":
        return Answer(200, b"null", (JSON,))
    if state == "deleted":
        raise Refusal(500, _DISPOSED, "invocation")
    if state == "resolved":
        data: bytes = promise.get("data") or b""
        return Answer(200, b'{"value":%b}' % _json(data) if data else b"{}", (JSON,))
    return Answer(200, msgspec.json.encode({"error": str(promise.get("error", ""))}), (JSON,))


def _json(data: bytes) -> bytes:
    """Return a payload as JSON: as it is, or, if it is none, as the text or the base64 that stands for it."""
    try:
        msgspec.json.decode(data)
    except _NOT_JSON:
        try:
            return msgspec.json.encode(data.decode())
        except UnicodeDecodeError:
            return msgspec.json.encode(base64.b64encode(data).decode())
    return data
