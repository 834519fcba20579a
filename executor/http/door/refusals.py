"""How requests are refused: what stands for it over HTTP, made of an error of the tree, and its form in each family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from promissory.oplog.errors import Paused, PromissoryError, WorkerError

Source = Literal["ingress", "invocation"]
Headers = Sequence[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")


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


def refusal_of(error: PromissoryError) -> Refusal:
    """Return the refusal that says over HTTP what an error says: its class and fields decide, never its words."""
    source: Source = "invocation" if isinstance(error, (WorkerError, Paused)) else "ingress"
    headers = () if error.invocation is None else ((b"x-restate-id", error.invocation.encode()),)
    return Refusal(error.http_status, error.message, source, headers)


def ingress_answer(refusal: Refusal) -> Answer:
    """Return a refusal as Restate's clients read it."""
    body = {"code": refusal.status, "message": refusal.message, "source": refusal.source}
    source = (b"x-restate-error-source", refusal.source.encode())
    return Answer(refusal.status, msgspec.json.encode(body), (JSON, source, *refusal.headers))


def worker_answer(refusal: Refusal) -> Answer:
    """Return a refusal as Golem's clients read it; our own routes do the same."""
    body = {"errors": [refusal.message]} if refusal.status == 400 else {"error": refusal.message}
    return Answer(refusal.status, msgspec.json.encode(body), (JSON, *refusal.headers))
