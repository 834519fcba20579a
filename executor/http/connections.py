"""A connection as uvicorn serves it, within limits that it has none for: the size of a head, and how long one takes.

It also tells every request of a pipeline when the client hangs up; uvicorn tells the newest only, and one that waits
before it would wait on.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_BYTES_MAX = 64 * 1024
"""What a request's line and headers may take; a head that comes whole may be larger by what is read at once."""
HEAD_SECONDS = 60.0
"""How long a head may take, the first from when the connection is made."""

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Connection(HttpToolsProtocol):
    """One client's connection, on asyncio."""

    # With more attributes than it has, uvicorn's own would not share their dictionary's keys: a kilobyte a connection.
    __slots__ = ("_head_bytes", "_is_in_head", "_pipelined", "_too_late")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = False
        self._head_bytes = 0
        self._too_late: asyncio.TimerHandle | None = None
        self._pipelined: tuple[RequestResponseCycle, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; a head must come."""
        super().connection_made(transport)
        self._too_late = self.loop.call_later(HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who are served or are in the queue."""
        self._head_ended()
        for cycle in self._pipelined:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; refuse a head that goes on for too long."""
        super().data_received(data)
        if not self._is_in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write(_TOO_LARGE)
            self.transport.close()
        elif self._too_late is None:
            self._too_late = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._is_in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Have a request served, or queued behind those that came before it."""
        self._is_in_head = False
        self._head_ended()
        before = self.cycle
        super().on_headers_complete()
        if self.pipeline:
            open_ = [cycle for cycle in self._pipelined or (before,) if not cycle.response_complete]
            self._pipelined = (*open_, self.cycle)

    def _head_ended(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None
