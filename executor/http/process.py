"""The gateway's process: the HTTP application on uvicorn, until it is told to end or its daemon is gone."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import signal
import socket
import threading
from pathlib import Path

import structlog
import uvicorn

from promissory.executor.config import Config
from promissory.executor.http import Gateway, app
from promissory.executor.http.connections import Connection
from promissory.executor.http.listening import BACKLOG
from promissory.executor.telemetry.logs import configure_log

FRAME_ROOM_BYTES = 65_536
"""What a frame of the admin socket holds besides a body."""
KEEP_ALIVE_SECONDS = 75
GRACEFUL_SECONDS = 2
"""How long requests may take to an end once the gateway is told to stop; whoever waits is told to ask again."""
ANSWER_SECONDS = 1
"""How long after that the answers may take to be written."""


def run(
    *, admin: Path, listener: socket.socket, config: Config, token: str | None, until_stdin_ends: bool = False
) -> int:
    """Serve HTTP until SIGTERM or SIGINT, and return the exit status.

    Args:
      admin: the admin socket of the executor.
      listener: a bound socket.
      config: limits.
      token: the bearer token that requests must carry, if any.
      until_stdin_ends: end at once when the standard input does: it is a pipe from the daemon, and so the port is free
        again however the daemon went.
    """
    configure_log("info")
    logging.basicConfig(handlers=[_Complaints()], level=logging.ERROR)
    _raise_descriptor_limit()
    if until_stdin_ends:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    application = app(
        admin,
        token=token,
        cors_origins=config.cors_origins,
        requests_max=config.http_requests_max,
        body_bytes_max=min(config.payload_bytes_max, config.frame_bytes_max - FRAME_ROOM_BYTES),
    )
    server = _Server(
        application,
        uvicorn.Config(
            application,
            loop="uvloop",
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS + ANSWER_SECONDS,
        ),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # Uvicorn raises a signal again once it has stopped for it, which would end the process out of order.
        signal.signal(number, server.handle_exit)
    server.run(sockets=[listener])
    return 0


class _Server(uvicorn.Server):
    """A server that tells those who still wait when it stops, instead of hanging up."""

    def __init__(self, application: Gateway, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._application = application

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and let the requests under way come to an end."""
        asyncio.get_running_loop().call_later(GRACEFUL_SECONDS, self._application.close)
        await super().shutdown(sockets)


class _Complaints(logging.Handler):
    """Has the complaints of libraries logged as our own events are."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._log = structlog.get_logger("promissory.gateway")

    def emit(self, record: logging.LogRecord) -> None:
        """Log one."""
        self._log.error(
            "http_server_failed", message=record.getMessage(), logger=record.name, exc_info=record.exc_info or None
        )


def _raise_descriptor_limit() -> None:
    """Allow as many connections as the system lets this user have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    # Not in order: nothing is to be told any more, and the port must be free.
    os._exit(0)
