"""A connection to the executor that many requests share: its answers as they are on the wire, and waits given up.

Beside what `Link` does, it watches for clients that hang up, and tells the executor when nobody waits for an answer any
more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from anyio.abc import ByteStream
from starlette.types import Receive

from promissory.executor.client.link import Link, value_of
from promissory.executor.http.upstream.hangups import Vigil
from promissory.executor.protocol.frames import FrameReader, encode_frame
from promissory.executor.protocol.hello import Hello


class SharedLink(Link):
    """A connection.

    Args:
      stream, reader, hello: of `open_stream`.
      vigil: watches the clients of those who wait.
    """

    def __init__(self, stream: ByteStream, reader: FrameReader, hello: Hello, vigil: Vigil) -> None:
        super().__init__(stream, reader, hello)
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
          PromissoryError: the executor's error; that it is away is `Disconnected`.
          ClientGone: the client hung up; the executor was told that nobody waits any more.
        """
        number = await self._post(op, fields)
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
        if waiter.error is not None:
            raise waiter.error
        return value_of(answer or {})

    def hang_up(self) -> None:
        """Let everybody who waits know that no answer will come."""
        self._lose("the gateway is stopping")

    def _forget(self, number: int) -> None:
        """Tell the executor that nobody waits for a request; nobody waits for the answer to that, either."""
        self._append(encode_frame({"id": next(self._numbers), "op": "forget", "request": number}))
