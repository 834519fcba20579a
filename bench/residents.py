"""Row 6: very many workers of examples/approval, each suspended on its promise, and a restart."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from bench import processes
from bench.table import Line, measured
from promissory.oplog.environment import Environment

ROWS = ("residents",)
COUNT = 100_000
COMPLETIONS = 40
"""How many promises are completed, one at a time, after each restart."""


class Prepared(NamedTuple):
    """What stands once all workers are suspended."""

    rss_anon_bytes: int
    bytes_each: float


class Restarted(NamedTuple):
    """What one restart and the completions after it took."""

    rss_anon_bytes: int
    hello_seconds: float
    completion_p50_seconds: float


def prepare(data: Path, count: int = COUNT) -> Prepared:
    """Have a daemon suspend so many workers, each on its promise; measure it, and end it in order."""
    with _daemon(data) as server:
        processes.suspender(["suspend", str(server.socket_path), "0", str(count)])
        rss_anon_bytes = server.rss_anon_bytes()
    with Environment(data, readonly=True) as environment:
        return Prepared(rss_anon_bytes, environment.used_bytes() / count)


def restart(data: Path, run: int) -> Restarted:
    """Start a daemon on the data, complete some of the promises, end it in order."""
    with _daemon(data) as server:
        printed = processes.suspender(["complete", str(server.socket_path), str(run * COMPLETIONS), str(COMPLETIONS)])
        return Restarted(server.rss_anon_bytes(), server.hello_seconds, msgspec.json.decode(printed, type=float))


def _daemon(data: Path) -> processes.ServerProcess:
    outbox = {"APPROVAL_OUTBOX": str(data.parent / "approval-outbox.txt")}
    return processes.daemon("examples.approval", data, environment=outbox)


def lines(prepared: Prepared, restarts: list[Restarted]) -> list[Line]:
    """Return the lines of this row."""
    before = [prepared.rss_anon_bytes / 1e6]
    after = [restart.rss_anon_bytes / 1e6 for restart in restarts]
    hello = [restart.hello_seconds for restart in restarts]
    completion = [restart.completion_p50_seconds * 1e3 for restart in restarts]
    each = [prepared.bytes_each]
    return [
        measured("residents", "100 000 suspended workers: RssAnon", "MB", before, bar=150, goal=75),
        measured("residents", "… after a restart: RssAnon", "MB", after, bar=150, goal=75),
        measured("residents", "… restart to the socket's hello", "s", hello, bar=2, goal=1),
        measured("residents", "… completing one to its result, p50", "ms", completion, bar=10, goal=5),
        measured("residents", "… used pages each", "bytes", each, bar=1600, goal=800),
    ]
