"""Keeps the gateway's process up beside a daemon: starts it, starts it again with a backoff, and ends it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import structlog
import trio

from promissory.executor.config import Config

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LONGEST_SECONDS = 10.0
STEADY_SECONDS = 30.0
"""A gateway that was up so long begins the backoff anew."""
END_SECONDS = 5.0


class Gatekeeper:
    """Runs `promissory gateway` on a socket that the daemon has bound, so that no connection is refused meanwhile.

    Args:
      listener: the bound socket; the caller closes it.
      admin: the admin socket.
      config: limits; the gateway gets those that concern it.
      token: the bearer token, if any.
    """

    def __init__(self, listener: socket.socket, admin: Path, config: Config, token: str | None) -> None:
        self._listener = listener
        self._admin = admin
        self._environment = _environment(config, token)
        self._log = structlog.get_logger("promissory.gateway")
        self.pid: int | None = None
        """The process that serves now."""

    async def run(self) -> None:
        """Keep a gateway up until cancelled; then end it."""
        seconds = BACKOFF_FIRST_SECONDS
        while True:
            began = trio.current_time()
            status: int | None = None
            error: str | None = None
            try:
                status = await self._serve()
            except OSError as exc:
                error = f"it cannot be started: {exc}"
            if trio.current_time() - began > STEADY_SECONDS:
                seconds = BACKOFF_FIRST_SECONDS
            self._log.error("gateway_ended", status=status, error=error, retry_seconds=seconds)
            await trio.sleep(seconds)
            seconds = min(2 * seconds, BACKOFF_LONGEST_SECONDS)

    async def _serve(self) -> int:
        """Run one process to its end and return its status.

        Raises:
          OSError: the system has no room for it.
        """
        descriptor = self._listener.fileno()
        command = [sys.executable, "-P", "-m", "promissory", "gateway", "--socket", str(self._admin.absolute())]
        process = await trio.lowlevel.open_process(
            [*command, "--listener", str(descriptor)],
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
            env=self._environment,
            start_new_session=True,  # a Ctrl-C is for the daemon, which ends its gateway itself
        )
        self.pid = process.pid
        self._log.debug("gateway_started", pid=process.pid)
        try:
            return await process.wait()
        finally:
            self.pid = None
            with trio.CancelScope(shield=True):
                await _end(process)


async def _end(process: trio.Process) -> None:
    """End a process in order if it does so soon, else at once."""
    if process.returncode is None:
        process.terminate()
        with trio.move_on_after(END_SECONDS):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    if process.stdin is not None:
        await process.stdin.aclose()


def _environment(config: Config, token: str | None) -> Mapping[str, str]:
    """Return this process's environment with the settings that a gateway reads from its own."""
    told = {
        "PROMISSORY_HTTP_REQUESTS_MAX": str(config.http_requests_max),
        "PROMISSORY_HTTP_CORS_ORIGINS": config.http_cors_origins,
        "PROMISSORY_PAYLOAD_BYTES_MAX": str(config.payload_bytes_max),
        "PROMISSORY_FRAME_BYTES_MAX": str(config.frame_bytes_max),
    }
    if token is not None:
        told["PROMISSORY_TOKEN"] = token
    return {**os.environ, **told}
