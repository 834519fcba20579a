"""The load generator, in a process of its own: does one row's work over HTTP and prints what it took, as JSON.

It knows nothing of whom it measures: both sides have the same routes, handlers and bodies.
"""

from __future__ import annotations

import argparse
import json
import math
import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.peers.exchange import Connection, Exchange, Unexpected, request

WORKERS = 256
"""How many workers the calls go to, in turn."""
WARMING_SECONDS = 1.0
"""The least; calls are also counted only once they have gone to as many workers as there are."""
STEPS = 10
SETTLERS = 64
"""How many connections settle the promises of those who wait all at once."""
UNANNOUNCED_MAX = 256
"""How many of them may have asked and not yet got their promise."""
ANSWER = b'"yes"'


class Took(msgspec.Struct, frozen=True):
    """What one piece of work did."""

    total: int
    """How often, warming up included."""
    count: int
    """How often in the seconds that count."""
    seconds: float
    p50_seconds: float
    """Of one call; of the time from sending the settlement to having the result."""

    @property
    def rate(self) -> float:
        """How many a second."""
        return self.count / self.seconds


class Calls:
    """Calls that are kept in flight, one on each connection; each connection goes round workers of its own.

    Args:
      exchange: where the connections are opened.
      seconds: how long calls are counted, after warming up.
    """

    def __init__(self, exchange: Exchange, seconds: float) -> None:
        self._exchange = exchange
        self._seconds = seconds
        self._warm = time.perf_counter() + WARMING_SECONDS
        self._began = self._ends = math.inf
        self._going = 0
        self._total = 0
        self._took: list[float] = []

    def keep_going(self, requests: list[bytes]) -> None:
        """Send one request after another, round and round, until it is time."""
        connection = self._exchange.connect()
        number = 0
        self._going += 1

        def on_answer(body: bytes) -> None:
            nonlocal number
            now = time.perf_counter()
            if not body.isdigit():
                raise Unexpected(f"the result was {body!r}")
            self._count(now, now - connection.sent)
            if now < self._ends:
                number += 1
                connection.ask(requests[number % len(requests)])
            else:
                self._going -= 1

        connection.on_answer = on_answer
        connection.ask(requests[0])

    def _count(self, now: float, seconds: float) -> None:
        self._total += 1
        if self._began <= now < self._ends:
            self._took.append(seconds)
        elif now >= self._warm and self._total >= WORKERS and self._began == math.inf:
            self._began, self._ends = now, now + self._seconds

    def run(self) -> Took:
        """Keep them going to the end."""
        self._exchange.run(lambda: not self._going)
        return Took(self._total, len(self._took), self._seconds, statistics.median(self._took))


def calls(exchange: Exchange, work: str, in_flight: int, seconds: float) -> Took:
    """Keep one call in flight on each of so many connections."""
    kept = Calls(exchange, seconds)
    for number in range(in_flight):
        kept.keep_going([_call(work, f"w-{n}") for n in range(number, WORKERS, in_flight)])
    return kept.run()


def _call(work: str, name: str) -> bytes:
    if work == "call":
        return request(f"/counter/{name}/add", b"1")
    if work == "nested":
        return request(f"/clerk/{name}/call", json.dumps(name).encode())
    return request(f"/stepper/{name}/steps", str(STEPS).encode())


class Mailbox:
    """Where handlers announce the ids of their promises, as `TAG ID`.

    Args:
      exchange: who reads it.
      path: of its socket; one that an earlier generator left is taken away.
    """

    def __init__(self, exchange: Exchange, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        self._expected: dict[str, Callable[[str], None]] = {}
        exchange.watch(self._socket.fileno(), self._read)

    def expect(self, tag: str, on_announced: Callable[[str], None]) -> None:
        """Have a function called with the promise's id. An effect may be repeated: the first announcement counts."""
        self._expected[tag] = on_announced

    def _read(self) -> None:
        tag, awakeable = self._socket.recv(4_096).decode().split(" ")
        if on_announced := self._expected.pop(tag, None):
            on_announced(awakeable)


class Flows:
    """Flows that are kept going: a fresh worker is invoked, announces its promise, is answered, gives its result.

    Args:
      exchange: where each flow has two connections, to invoke and to settle.
      mailbox: where the promises are announced.
      seconds: how long flows are counted, after warming up.
    """

    def __init__(self, exchange: Exchange, mailbox: Mailbox, seconds: float) -> None:
        self._exchange = exchange
        self._mailbox = mailbox
        self._seconds = seconds
        self._began = time.perf_counter() + WARMING_SECONDS
        self._ends = self._began + seconds
        self._going = 0
        self._total = 0
        self._settlings: list[float] = []
        """The seconds from each settlement to its result."""

    def keep_going(self, name: str) -> None:
        """Begin one flow, and the next when it has ended, until it is time. Its workers' names begin with `name`."""
        caller, settler = self._exchange.connect(), self._exchange.connect()
        number = 0
        awaited = 0
        self._going += 1

        def begin() -> None:
            nonlocal awaited, number
            awaited = 2
            tag = f"{name}-{number}"
            number += 1
            self._mailbox.expect(tag, lambda awakeable: settler.ask(_settle(awakeable)))
            caller.ask(_ask(tag))

        def on_result(body: bytes) -> None:
            now = time.perf_counter()
            if body != ANSWER:
                raise Unexpected(f"the result was {body!r}")
            self._total += 1
            if self._began <= now < self._ends:
                self._settlings.append(now - settler.sent)
            on_answer(body)

        def on_answer(_: bytes) -> None:
            nonlocal awaited
            awaited -= 1
            if awaited:
                return
            if time.perf_counter() < self._ends:
                begin()
            else:
                self._going -= 1

        caller.on_answer = on_result
        settler.on_answer = on_answer
        begin()

    def run(self) -> Took:
        """Keep them going to the end."""
        self._exchange.run(lambda: not self._going)
        return Took(self._total, len(self._settlings), self._seconds, statistics.median(self._settlings))


def promises(exchange: Exchange, mailbox: Mailbox, name: str, in_flight: int, seconds: float) -> Took:
    """Keep so many flows going."""
    flows = Flows(exchange, mailbox, seconds)
    for number in range(in_flight):
        flows.keep_going(f"{name}-{number}")
    return flows.run()


def waiting(exchange: Exchange, mailbox: Mailbox, name: str, count: int) -> Took:
    """Have so many requests wait at once and say `waiting` on stdout; after a line on stdin settle all of them."""
    awakeables: list[str] = []
    results = 0
    unsettled = 0

    def on_result(body: bytes) -> None:
        nonlocal results
        if body != ANSWER:
            raise Unexpected(f"the result was {body!r}")
        results += 1

    for number in range(count):
        announced_min = number - UNANNOUNCED_MAX
        exchange.run(lambda: len(awakeables) > announced_min)  # noqa: B023  it is called before the next turn
        tag = f"{name}-{number}"
        mailbox.expect(tag, awakeables.append)
        connection = exchange.connect()
        connection.on_answer = on_result
        connection.ask(_ask(tag))
    exchange.run(lambda: len(awakeables) == count)
    sys.stdout.write("waiting\n")
    sys.stdout.flush()
    sys.stdin.readline()

    def keep_settling(connection: Connection) -> None:
        def on_answer(_: bytes) -> None:
            nonlocal unsettled
            unsettled -= 1
            if awakeables:
                connection.ask(_settle(awakeables.pop()))

        connection.on_answer = on_answer
        connection.ask(_settle(awakeables.pop()))

    unsettled = count
    began = time.perf_counter()
    for _ in range(SETTLERS):
        keep_settling(exchange.connect())
    exchange.run(lambda: not unsettled and results == count)
    return Took(results, results, time.perf_counter() - began, 0.0)


def _ask(tag: str) -> bytes:
    return request(f"/approval/{tag}/ask", json.dumps(tag).encode())


def _settle(awakeable: str) -> bytes:
    return request(f"/restate/awakeables/{awakeable}/resolve", ANSWER)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers.generator", description=__doc__)
    parser.add_argument("work", choices=("call", "nested", "steps", "promise", "waiting"))
    parser.add_argument("--port", type=int, required=True, help="where the server listens on 127.0.0.1")
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--name", default="g", help="the beginning of the names of fresh workers")
    parser.add_argument(
        "--mailbox", type=Path, help="where the handlers announce promises: BENCH_MAILBOX of the server"
    )
    options = parser.parse_args()
    exchange = Exchange(options.port)
    if options.work == "waiting":
        took = waiting(exchange, Mailbox(exchange, options.mailbox), options.name, options.in_flight)
    elif options.work == "promise":
        mailbox = Mailbox(exchange, options.mailbox)
        took = promises(exchange, mailbox, options.name, options.in_flight, options.seconds)
    else:
        took = calls(exchange, options.work, options.in_flight, options.seconds)
    sys.stdout.buffer.write(msgspec.json.encode(took) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
