"""The rows of the comparison: what is done, how it is judged, and one measurement of it."""

from __future__ import annotations

import subprocess
import sys
from itertools import count

import msgspec

from bench.peers.generator import Took
from bench.peers.servers import Side, await_listening, free_port
from bench.processes import ROOT

WAITING_COUNT = 10_000
_numbers = count()


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    name: str
    what: str
    work: str
    """Of `bench.peers.generator`."""
    in_flight: int
    bar: float | None = None
    """Of the ratio of ours to Restate's; None: shown, not judged."""
    goal: float | None = None
    settles: bool = False
    """Whether the row shows the time from settlement to result, where less is better, and not the rate."""

    @property
    def unit(self) -> str:
        """What the figures are."""
        return "ms, p50" if self.settles else "/s"

    def figure(self, took: Took) -> float:
        """Return the row's figure."""
        return took.p50_seconds * 1e3 if self.settles else took.rate

    def meets(self, ratio: float, bound: float | None) -> bool:
        """Whether a ratio is at least as good as a bar or goal."""
        return bound is None or (ratio <= bound if self.settles else ratio >= bound)


ROWS = (
    Row(name="alone", what="worker call over HTTP, 1 connection", work="call", in_flight=1),
    Row(name="call", what="worker call over HTTP, 32 connections", work="call", in_flight=32, bar=4, goal=8),
    Row(
        name="nested",
        what="call that calls another worker, 32 connections",
        work="nested",
        in_flight=32,
        bar=6,
        goal=12,
    ),
    Row(name="steps", what="handler of 10 async steps, 32 connections", work="steps", in_flight=32, bar=4, goal=8),
    Row(name="promise", what="promise settled over HTTP, 64 in flight", work="promise", in_flight=64, bar=4, goal=8),
    Row(name="promise-alone", what="promise settled over HTTP, alone", work="promise", in_flight=1),
    Row(name="settle", what="settle → result, alone", work="promise", in_flight=1, bar=0.5, goal=0.25, settles=True),
)


class Measured(msgspec.Struct, frozen=True):
    """One piece of work on one side."""

    took: Took
    processor_seconds: float
    """What the servers used for it, warming up included."""

    @property
    def processor_ms_each(self) -> float:
        """What one of it cost the servers."""
        return self.processor_seconds / self.took.total * 1e3


def measure(side: Side, work: str, in_flight: int, seconds: float) -> Measured:
    """Have a side do a piece of work once."""
    used = side.processor_seconds()
    with _generator(side.port, work, in_flight, "--seconds", str(seconds), "--mailbox", str(side.mailbox)) as process:
        took = _took(process)
    return Measured(took, side.processor_seconds() - used)


class Waiting(msgspec.Struct, frozen=True):
    """Very many requests that waited at once."""

    rss_anon_bytes: int
    """Of all processes of the side, while all waited."""
    answered_count: int
    seconds: float
    """From the first settlement to the last result."""


def measure_waiting(side: Side, number: int = WAITING_COUNT) -> Waiting:
    """Have so many HTTP requests wait for promises at once; settle all."""
    with _generator(side.port, "waiting", number, "--mailbox", str(side.mailbox)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != b"waiting\n":
            raise RuntimeError("not all requests got so far as to wait")
        rss_anon_bytes = side.rss_anon_bytes()
        process.stdin.write(b"settle\n")
        process.stdin.flush()
        took = _took(process)
    return Waiting(rss_anon_bytes, took.count, took.seconds)


def measure_generator(in_flight: int, seconds: float) -> Took:
    """Return what the generator does against a server that does nothing."""
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "bench.peers.echo", str(port)], cwd=ROOT) as echo:
        try:
            await_listening(port)
            with _generator(port, "call", in_flight, "--seconds", str(seconds)) as process:
                return _took(process)
        finally:
            echo.terminate()


def _generator(port: int, work: str, in_flight: int, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench.peers.generator", work, "--port", str(port), "--in-flight", str(in_flight)]
    command += ["--name", f"g{next(_numbers)}", *options]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _took(process: subprocess.Popen[bytes]) -> Took:
    assert process.stdout is not None
    printed = process.stdout.read()
    if status := process.wait():
        raise RuntimeError(f"the load generator ended with status {status}")
    return msgspec.json.decode(printed, type=Took)
