"""Starts, watches and ends the processes that the bench measures: daemons, echo servers, clients."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[1]
HELLO_SECONDS_MAX = 60.0
END_SECONDS_MAX = 120.0
_RETRY_SECONDS = 0.002


class ServerProcess:
    """A process that greets on a socket; in a `with` block it is up, and has ended in order after it.

    Args:
      arguments: what follows `python -m`.
      socket_path: where it greets.
      log: where its stderr goes.
      environment: additions to this process's environment.
    """

    def __init__(
        self, arguments: list[str], socket_path: Path, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._arguments = arguments
        self._log = log
        self._environment = {**os.environ, "PYTHONHASHSEED": "0", **(environment or {})}
        self.socket_path = socket_path
        self.hello_seconds = 0.0
        """From the start of the process to its greeting."""

    def __enter__(self) -> ServerProcess:
        began = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._arguments], cwd=ROOT, env=self._environment, stderr=log
            )
        try:
            self._await_hello(began)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        self.hello_seconds = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if error is None and status not in (0, -signal.SIGTERM):
            raise RuntimeError(f"{self._arguments[0]} ended with status {status}:\n{self._last_words()}")

    def _await_hello(self, began: float) -> None:
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.settimeout(HELLO_SECONDS_MAX)
                    connection.connect(str(self.socket_path))
                    if connection.recv(4):
                        return
            except (FileNotFoundError, ConnectionRefusedError):
                pass
            if self._process.poll() is not None or time.perf_counter() - began > HELLO_SECONDS_MAX:
                raise RuntimeError(f"{self._arguments[0]} did not greet:\n{self._last_words()}")
            time.sleep(_RETRY_SECONDS)

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-4_000:]

    def rss_anon_bytes(self) -> int:
        """Return the anonymous memory that the process has resident."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the kernel tells no RssAnon")

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid


def daemon(
    module: str, data: Path, *, record: Path | None = None, environment: Mapping[str, str] | None = None
) -> ServerProcess:
    """Return a daemon that serves a module's workers; with `record` its transactions are written there at its end."""
    arguments = ["bench.serve", module, "--data", str(data)]
    if record is not None:
        arguments += ["--record", str(record)]
    log = data.parent / f"{data.name}.log"
    return ServerProcess(arguments, data / "admin.sock", log, environment)


def client(arguments: list[str]) -> bytes:
    """Run `python -m bench.load` with arguments to its end and return what it printed."""
    return _run("bench.load", arguments)


def suspender(arguments: list[str]) -> bytes:
    """Run `python -m bench.suspend` with arguments to its end and return what it printed."""
    return _run("bench.suspend", arguments)


def _run(module: str, arguments: list[str]) -> bytes:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
