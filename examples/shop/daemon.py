"""The shop's daemon, in a process of its own, that is killed and started again while people shop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from promissory import connect
from promissory.executor.client import Client

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("examples.shop.cart", "examples.shop.history")


class DaemonFailed(Exception):
    """The daemon ended, and nobody had killed or stopped it."""


class Daemon:
    """One life after the other of `promissory serve`, on one data directory.

    Args:
      directory: holds the data and the carrier's book.
    """

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.carrier = directory / "carrier.txt"
        self.kill_count = 0
        self.resumed_count = 0
        """How many workers were paused when it started, being under suspicion of having ended the life before."""
        self.complaints: list[str] = []
        """What it logged as an error, or wrote that is no log line."""
        self._serving = trio.Event()
        self._process: trio.Process | None = None
        self._is_ending = False

    @property
    def is_serving(self) -> bool:
        """Whether it has said that it serves, and has not been killed since."""
        return self._serving.is_set()

    async def run(self) -> None:
        """Run it, again after each `kill`, until `stop`.

        Raises:
          DaemonFailed: it ended otherwise.
        """
        while True:
            kills = self.kill_count
            status = await self._live()
            if self._is_ending and status == 0:
                return
            if self.kill_count == kills:
                raise DaemonFailed("\n".join([f"the daemon ended with status {status}", *self.complaints]))

    def kill(self) -> None:
        """End it as a power cut would, this very moment; whoever connects now waits for the next life."""
        assert self._process is not None
        self._serving = trio.Event()
        self.kill_count += 1
        self._process.kill()

    def stop(self) -> None:
        """Have it stop in order; `run` returns when it has."""
        assert self._process is not None
        self._is_ending = True
        self._process.terminate()

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """Connect to the daemon, as soon as it serves."""
        await self._serving.wait()
        async with connect(self.data / "admin.sock") as client:
            yield client

    async def _live(self) -> int:
        """Live one life, and return its exit status."""
        process = self._process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "promissory", "serve", *MODULES, "--data", str(self.data), "--no-http"],
            cwd=ROOT,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            assert process.stderr is not None
            rest = b""
            async for chunk in process.stderr:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    await self._heed(line.decode("utf-8", "replace"))
            return await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()

    async def _heed(self, text: str) -> None:
        try:
            line: dict[str, Any] = json.loads(text)
        except ValueError:
            line = {"level": "error"}
        if line.get("event") == "serving":
            async with connect(self.data / "admin.sock") as client:
                self.resumed_count += (await client.request("worker.resume", all=True))["resumed"]
            self._serving.set()
        elif line.get("level") in ("error", "critical") and not is_suspicion(line):
            self.complaints.append(text)

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROMISSORY_")}
        # With its hash seed fixed from the outside, the daemon need not start itself a second time.
        return {**inherited, "SHOP_CARRIER": str(self.carrier), "PYTHONHASHSEED": "0"}


def is_suspicion(line: dict[str, Any]) -> bool:
    """Return whether a worker is paused only because it was being brought back when the daemon was killed."""
    return line.get("event") == "worker_paused" and str(line.get("error")).startswith("ProcessEnded: ")
