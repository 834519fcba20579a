"""A connection to the executor that many requests share: its answers as they are on the wire, and waits given up.

Beside what `Link` does, it gives the executor's errors without building exceptions of the one tree for them, keeps
the id of the invocation that an error belongs to, and tells the executor when nobody waits for an answer any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from anyio.abc import ByteStream
from starlette.types import Receive

from promissory.executor.client.link import Disconnected, Link
from promissory.executor.http.door.refusals import AdminError
from promissory.executor.http.upstream.hangups import Vigil
from promissory.executor.protocol.frames import FrameReader, encode_frame
from promissory.oplog.errors import PromissoryError


class SharedLink(Link):
    """A connection.

    Args:
      stream, reader: of `open_stream`.
      vigil: watches the clients of those who wait.
    """

    def __init__(self, stream: ByteStream, reader: FrameReader, vigil: Vigil) -> None:
        super().__init__(stream, reader)
        self._vigil = vigil

    @property
    def waiting_count(self) -> int:
        """How many requests wait for their answers."""
        return len(self._waiting)

    async def ask(
        self,
        op: str,
        fields: Mapping[str, Any],
        receive: Receive | None = None,
        on_item: Callable[[Any], None] | None = None,
    ) -> Any:
        """Send a request and wait for its answer; the value of its `ok`.

        Args:
          op: the operation.
          fields: its fields.
          receive: of the request over HTTP that waits for it, whose body has been read; none for what takes no time.
          on_item: called with each item that comes before the answer.

        Raises:
          AdminError: the executor's error, or that it is away.
          ClientGone: the client hung up; the executor was told that nobody waits any more.
        """
        try:
            number = await self._post(op, fields)
        except PromissoryError as error:
            raise AdminError(error.kind, error.message) from None
        waiter = self._waiting[number] = self._waiter(on_item)
        if receive is not None:
            self._vigil.begin(waiter, receive)
        try:
            await waiter.wait()
        finally:
            del self._waiting[number]
            if receive is not None:
                self._vigil.end(waiter)
            if waiter.answer is None and self._lost is None:
                self._forget(number)
        answer = waiter.answer
        if answer is not None and "ok" in answer:
            return answer["ok"]
        raise _error(waiter.error, answer)

    def hang_up(self) -> None:
        """Let everybody who waits know that no answer will come."""
        self._lose("the gateway is stopping")

    def _forget(self, number: int) -> None:
        """Tell the executor that nobody waits for a request; nobody waits for the answer to that, either."""
        self._append(encode_frame({"id": next(self._numbers), "op": "forget", "request": number}))


def _error(error: Exception | None, answer: Mapping[str, Any] | None) -> Exception:
    if isinstance(error, PromissoryError):
        return AdminError(error.kind, error.message)
    if error is not None:
        return error
    wire = (answer or {}).get("error")
    if not isinstance(wire, Mapping):
        return AdminError(Disconnected.kind, "the executor does not keep to the protocol")
    code, message, status, invocation = (wire.get(name) for name in ("code", "message", "status", "invocation"))
    return AdminError(
        str(code),
        str(message),
        status if type(status) is int else None,
        None if invocation is None else str(invocation),
    )
