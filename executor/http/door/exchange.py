"""One request and its answer, as everything behind the door sees them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from promissory.executor.http.door import bodies
from promissory.executor.http.door.refusals import JSON, Answer, ClientGone, Refusal, refusal_of
from promissory.oplog.errors import InternalError, PromissoryError

Work: TypeAlias = "Callable[[Exchange], Awaitable[Answer]]"
Shape: TypeAlias = "Callable[[Refusal], Answer]"

_log = structlog.get_logger("promissory.http")


class Exchange:
    """A request.

    Args:
      scope, receive, send: of ASGI.
      segments: of the path, still percent-encoded.
      shape: how the family of its route refuses.
      bytes_max: the largest body that is accepted.
    """

    __slots__ = ("_bytes_max", "_send", "headers", "method", "params", "receive", "scope", "segments", "shape")

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, segments: list[str], shape: Shape, bytes_max: int
    ) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.segments = segments
        self.shape = shape
        self._bytes_max = bytes_max
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.params: dict[str, str] = {}
        """What the route's path names, decoded."""

    async def body(self) -> bytes:
        """Return the whole body; raises as `bodies.read` does."""
        return await bodies.read(self.receive, self.headers, self._bytes_max)

    def query(self) -> dict[str, str]:
        """Return the parameters of the query string; the last of a name counts."""
        raw = self.scope["query_string"]
        return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else {}

    def header(self, name: bytes) -> str | None:
        """Return a header as text."""
        value = self.headers.get(name)
        if value is None:
            return None
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.decode("latin-1")

    async def answer_with(self, work: Work) -> None:
        """Do the work and send what comes of it; whatever it raises becomes an answer."""
        try:
            answer = await work(self)
        except PromissoryError as error:
            answer = self.shape(refusal_of(error))
        except Refusal as refusal:
            answer = self.shape(refusal)
        except ClientGone:
            return
        except Exception:
            _log.exception("request_failed", method=self.method, path=self.scope["path"])
            answer = self.shape(refusal_of(InternalError("the gateway failed at this request: its log says how")))
        await self._respond(answer)

    async def _respond(self, answer: Answer) -> None:
        status, body, headers = answer
        length = (b"content-length", b"%d" % len(body))
        all_headers = [*headers] if status == 204 else [length, *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": all_headers})
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})


def json_answer(value: Any, status: int = 200) -> Answer:
    """Return a value as JSON; bytes in it as base64."""
    return Answer(status, msgspec.json.encode(value), (JSON,))


def not_allowed(method: str, allowed: str) -> Answer:
    """Return what a method that a route does not have gets, `OPTIONS` excepted, which asks for just that.

    Raises:
      Refusal: the method is not allowed (405).
    """
    if method == "OPTIONS":
        return Answer(204, b"", ((b"allow", allowed.encode()),))
    raise Refusal(405, f"method {method} is not allowed here", headers=((b"allow", allowed.encode()),))
