"""The executor as the gateway sees it: a few shared connections, made when they are needed and when it is back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ByteStream
from starlette.types import Receive

from promissory.executor.client.link import open_stream
from promissory.executor.http.upstream.attempt import Attempt
from promissory.executor.http.upstream.background import spawn
from promissory.executor.http.upstream.hangups import Vigil
from promissory.executor.http.upstream.link import SharedLink
from promissory.oplog.errors import LimitReached

WAITING_MAX = 10_000
"""Beyond so many requests on one connection, another is made: the executor takes 20 000 on each."""
LINKS_MAX = 16


class Daemon:
    """Asks the executor behind an admin socket.

    Args:
      path: of the socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._vigil = Vigil()
        self._links: list[SharedLink] = []
        self._scopes: dict[SharedLink, anyio.CancelScope] = {}
        self._connecting: Attempt | None = None
        self.life = 0
        """Counts the times that it was lost: what was known of it before may have changed."""

    def request(
        self,
        op: str,
        fields: Mapping[str, Any],
        receive: Receive | None = None,
        on_item: Callable[[Any], None] | None = None,
    ) -> Awaitable[Any]:
        """Perform an operation of the admin protocol and return its value; the arguments are those of `ask`.

        Raises:
          PromissoryError: the executor's error; that it is away is `Disconnected`.
          ClientGone: the client hung up meanwhile.
        """
        for link in self._links:
            if link.waiting_count < WAITING_MAX:
                return link.ask(op, fields, receive, on_item)
        return self._request_anew(op, fields, receive, on_item)

    async def _request_anew(
        self,
        op: str,
        fields: Mapping[str, Any],
        receive: Receive | None,
        on_item: Callable[[Any], None] | None,
    ) -> Any:
        link = await self._connected()
        return await link.ask(op, fields, receive, on_item)

    async def rows(self, op: str, fields: Mapping[str, Any], rows: list[dict[str, Any]]) -> bool:
        """Perform a listing operation and append its items to `rows`; whether there are more."""
        end = await self.request(op, fields, on_item=rows.append)
        return bool(end and end.get("more"))

    def close(self) -> None:
        """Hang up."""
        for link, scope in self._scopes.items():
            link.hang_up()
            scope.cancel()

    async def _connected(self) -> SharedLink:
        """Return a connection with room, a new one if there may be one more."""
        while self._connecting is not None:
            if await self._connecting.is_done() and self._links:
                return self._links[-1]
        if len(self._links) >= LINKS_MAX:
            raise LimitReached(f"{LINKS_MAX * WAITING_MAX} requests are in flight", "rate")
        self._connecting = Attempt()
        try:
            with self._connecting:
                return await self._connect()
        finally:
            self._connecting = None

    async def _connect(self) -> SharedLink:
        stream, reader, hello = await open_stream(str(self._path))
        link = SharedLink(stream, reader, hello, self._vigil)
        self._links.append(link)
        scope = self._scopes[link] = anyio.CancelScope()
        spawn(self._run, link, stream, scope)
        return link

    async def _run(self, link: SharedLink, stream: ByteStream, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(link.write)
                    await link.read()
                    tasks.cancel_scope.cancel()
        finally:
            self._links.remove(link)
            del self._scopes[link]
            self.life += 1
            await anyio.aclose_forcefully(stream)
