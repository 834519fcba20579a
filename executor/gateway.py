"""The gateway's process: the HTTP application on uvicorn, until it is told to end or its daemon is gone."""

from __future__ import annotations

import os
import resource
import socket
import threading
from pathlib import Path

import uvicorn

from executor.config import Config
from executor.events import configure_log
from executor.http import app
from executor.listening import BACKLOG

KEEP_ALIVE_SECONDS = 75
GRACEFUL_SECONDS = 2
"""How long requests may take to an end once the gateway is told to stop; whoever waits is told to ask again."""


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
    _raise_descriptor_limit()
    if until_stdin_ends:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    application = app(
        admin,
        token=token,
        cors_origins=config.cors_origins,
        requests_max=config.http_requests_max,
        body_bytes_max=config.payload_bytes_max,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            application,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
        )
    )
    server.run(sockets=[listener])
    return 0


def _raise_descriptor_limit() -> None:
    """Allow as many connections as the system lets this user have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _end_with_stdin() -> None:
    while os.read(0, 1):
        pass
    # Not in order: nothing is to be told any more, and the port must be free.
    os._exit(0)
