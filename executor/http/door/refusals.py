"""How requests are refused: one exception, and its form in each family of routes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

Source = Literal["ingress", "invocation"]
Headers = Sequence[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")

_PAUSED = "the worker is paused"
_OF_THE_WORKER = frozenset({"non_determinism", "bad_handler", "worker_error"})
_STATUSES = {
    "not_found": 404,
    "bad_arguments": 400,
    "request_error": 400,
    "malformed_frame": 400,
    "not_ready": 470,
    "store_failed": 503,
    "disconnected": 503,
}


class Answer(NamedTuple):
    """What goes back: a status, a body and the headers beside `content-length`."""

    status: int
    body: bytes = b""
    headers: Headers = ()


class Refusal(Exception):
    """A request that is not answered with what it asked for.

    Args:
      status: of HTTP.
      message: for people.
      source: whether the gateway and the executor refuse it, or it is the outcome of an invocation.
      headers: further ones.
    """

    def __init__(self, status: int, message: str, source: Source = "ingress", headers: Headers = ()) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.source: Source = source
        self.headers = headers


class ClientGone(Exception):
    """Whoever asked has hung up: there is nobody to answer."""


class AdminError(Exception):
    """What the executor answers instead of what was asked for, or that it is away.

    Args:
      code: of the admin protocol.
      message: for people.
      status: the handler's own, if it is the outcome of one.
      invocation: the id of the invocation that it is the outcome of.
    """

    def __init__(self, code: str, message: str, status: int | None = None, invocation: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.invocation = invocation

    def refusal(self) -> Refusal:
        """Return the refusal that says the same over HTTP."""
        headers = () if self.invocation is None else ((b"x-restate-id", self.invocation.encode()),)
        if self.status is not None:
            status = self.status if 400 <= self.status <= 599 else 500
            return Refusal(status, self.message, "invocation", headers)
        if self.code == "paused":
            message = self.message if self.message.startswith(_PAUSED) else f"{_PAUSED}: {self.message}"
            return Refusal(500, message, "invocation", headers)
        if self.code in _OF_THE_WORKER:
            return Refusal(500, self.message, "invocation", headers)
        if self.code == "limit_reached":
            return Refusal(_limit_status(self.message), self.message)
        return Refusal(_STATUSES.get(self.code, 500), self.message)


def _limit_status(message: str) -> int:
    """Return the status of a limit: one of size, of the number of requests, or of something else's length."""
    if "in flight" in message:
        return 429
    return 413 if " bytes" in message else 400


def ingress_answer(refusal: Refusal) -> Answer:
    """Return a refusal as Restate's clients read it."""
    body = {"code": refusal.status, "message": refusal.message, "source": refusal.source}
    source = (b"x-restate-error-source", refusal.source.encode())
    return Answer(refusal.status, msgspec.json.encode(body), (JSON, source, *refusal.headers))


def worker_answer(refusal: Refusal) -> Answer:
    """Return a refusal as Golem's clients read it; our own routes do the same."""
    body = {"errors": [refusal.message]} if refusal.status == 400 else {"error": refusal.message}
    return Answer(refusal.status, msgspec.json.encode(body), (JSON, *refusal.headers))
