"""A real daemon in a process of its own, for tests that kill, signal and feed it; watched by its log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DEADLINE_SECONDS = 60.0
"""Nothing here takes longer, however slow the machine; reaching it is a failure."""


class Daemon:
    """One run of `promissory serve`, or of another command that stays.

    Args:
      data: its data directory.
      arguments: further arguments of `serve`, modules first; no HTTP unless `--http` is among them.
      cwd: where modules are imported from.
      environment: what to add to the environment; None takes a variable away.
      python: further arguments of the interpreter.
      command: `serve` or `gateway`.
    """

    def __init__(
        self,
        data: Path,
        *arguments: str,
        cwd: Path,
        environment: dict[str, str | None] | None = None,
        python: Sequence[str] = (),
        command: str = "serve",
    ) -> None:
        self.data = data
        self.socket = data / "admin.sock"
        self.log: list[dict[str, Any]] = []
        """Its log lines; a line that is not JSON is shown as {"text": line}."""
        self._news = threading.Condition()
        self._is_over = False
        variables: dict[str, str | None] = {"PYTHONHASHSEED": "0", "PYTHONPATH": None, **(environment or {})}
        for name in os.environ:
            if name.startswith("PROMISSORY_") and name != "PROMISSORY_CRASH_SEED":
                variables.setdefault(name, None)
        merged = {**os.environ, **variables}
        no_http = ("--no-http",) if command == "serve" and "--http" not in arguments else ()
        self.process = subprocess.Popen(
            [sys.executable, *python, "-m", "promissory", command, *arguments, "--data", str(data), *no_http],
            cwd=cwd,
            env={name: value for name, value in merged.items() if value is not None},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    def _read(self) -> None:
        assert self.process.stderr is not None
        for raw in self.process.stderr:
            text = raw.decode("utf-8", "replace").rstrip("\n")
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            with self._news:
                self.log.append(line if isinstance(line, dict) else {"text": text})
                self._news.notify_all()
        with self._news:
            self._is_over = True
            self._news.notify_all()

    def line_or_end(self, event: str, count: int = 1) -> dict[str, Any] | None:
        """Wait for so many log lines of an event, from the first line on, and return the last of them.

        None when the daemon ends without them.
        """
        deadline = time.monotonic() + DEADLINE_SECONDS
        with self._news:
            while True:
                found = [line for line in self.log if line.get("event") == event]
                if len(found) >= count:
                    return found[count - 1]
                if self._is_over:
                    return None
                assert self._news.wait(deadline - time.monotonic()), f"no {event!r} came; the log: {self.log}"

    def wait_for(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait for so many log lines of an event and return the last; fails when the daemon ends without them."""
        line = self.line_or_end(event, count)
        assert line is not None, f"the daemon ended without {event!r}; its log: {self.log}"
        return line

    def serving(self) -> Daemon:
        """Wait until it serves, and return it."""
        self.wait_for("serving")
        return self

    def events(self, event: str) -> list[dict[str, Any]]:
        """Return the log lines of an event, so far."""
        with self._news:
            return [line for line in self.log if line.get("event") == event]

    def first_text(self) -> str:
        """Wait for the first line on stderr that is no log line."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        with self._news:
            while not (found := [line["text"] for line in self.log if "text" in line]):
                assert not self._is_over, f"it ended without a word; its log: {self.log}"
                assert self._news.wait(deadline - time.monotonic()), f"no text came; the log: {self.log}"
        return str(found[0])

    def texts(self) -> list[str]:
        """Return the lines on stderr that are no log lines, so far."""
        with self._news:
            return [line["text"] for line in self.log if "text" in line]

    def wait(self) -> int:
        """Wait until it has ended and everything it wrote is read; return its exit status."""
        status = self.process.wait(DEADLINE_SECONDS)
        self._thread.join(DEADLINE_SECONDS)
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would, and wait until it is gone."""
        self.process.kill()
        self.wait()

    def stop(self) -> int:
        """Have it stop in order; return its exit status."""
        self.process.terminate()
        return self.wait()


class Daemons:
    """Starts daemons and sees to it that none outlives its test."""

    def __init__(self) -> None:
        self._started: list[Daemon] = []

    def start(
        self,
        data: Path,
        *arguments: str,
        cwd: Path,
        environment: dict[str, str | None] | None = None,
        python: Sequence[str] = (),
        command: str = "serve",
    ) -> Daemon:
        """Start one; the arguments are those of `Daemon`."""
        daemon = Daemon(data, *arguments, cwd=cwd, environment=environment, python=python, command=command)
        self._started.append(daemon)
        return daemon

    def close(self) -> None:
        """Kill those that still run."""
        for daemon in self._started:
            if daemon.process.returncode is None:
                daemon.kill()
