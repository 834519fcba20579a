"""Rows 1 to 5: what comes over the admin socket, beside bare LMDB, an echo, and the first row."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench import limits, processes
from bench.load import Window
from bench.serve import Transaction, load_transactions
from bench.table import Line, compared

ROWS = ("throughput", "latency", "promise", "steps", "calls")


class Measured(msgspec.Struct):
    """One run."""

    windows: dict[str, Window]
    commits_seconds: float
    """What bare LMDB takes for the transactions of the workload `invoke`."""
    commits_count: int
    alone_commit_seconds: float
    """What one transaction of the workload `alone` takes bare LMDB."""
    echo_seconds: float


def measure(run: int, rows: Sequence[str], scratch: Path) -> Measured:
    """Run the daemon under its workloads, then the limits on what it did."""
    workloads = ["create", "alone", "invoke"]
    if "promise" in rows:
        workloads.append("promise")
    if "steps" in rows:
        workloads += ["steps_async", "steps_sync"]
    if "calls" in rows:
        workloads += ["call", "fan", "chain", "ten_alone"]
    data, record = scratch / f"data-{run}", scratch / f"transactions-{run}"
    with processes.daemon("bench.guests", data, record=record) as server:
        windows = _client(server.socket_path, workloads)
    echo_path = scratch / f"echo-{run}.sock"
    with processes.ServerProcess(["bench.limits", str(echo_path)], echo_path, scratch / "echo.log") as server:
        echo = _client(server.socket_path, ["alone"])["alone"]
    transactions = load_transactions(record)
    invoked = limits.commit_times(scratch / f"bare-{run}", *_cut(transactions, windows["invoke"]))
    alone = limits.commit_times(scratch / f"alone-{run}", *_cut(transactions, windows["alone"]))
    return Measured(windows, sum(invoked), len(invoked), statistics.median(alone), echo.p50_seconds)


def _client(socket_path: Path, workloads: list[str]) -> dict[str, Window]:
    return msgspec.json.decode(processes.client([str(socket_path), *workloads]), type=dict[str, Window])


def _cut(transactions: list[Transaction], window: Window) -> tuple[list[Transaction], list[Transaction]]:
    """Return the transactions before a window and those in it."""
    before = [transaction for transaction in transactions if transaction[0] < window.began]
    return before, [t for t in transactions[len(before) :] if t[0] <= window.ended]


def lines(rows: Sequence[str], runs: Sequence[Measured]) -> list[Line]:
    """Return the lines of the rows that were asked for."""
    found = []
    first = "row 1"

    def rate(run: Measured, name: str) -> float:
        return run.windows[name].rate

    if "throughput" in rows:
        pairs = [(rate(r, "invoke"), r.windows["invoke"].count / r.commits_seconds) for r in runs]
        what = "durable invocations, 64 in flight, 1 000 workers"
        found.append(compared("throughput", what, "/s", "same transactions, bare lmdb", pairs, bar=0.15, goal=0.35))
    if "latency" in rows:
        pairs = [(r.windows["alone"].p50_seconds * 1e6, (r.alone_commit_seconds + r.echo_seconds) * 1e6) for r in runs]
        beside = "bare commit + echo"
        what = "one durable invocation alone, p50"
        found.append(compared("latency", what, "µs", beside, pairs, bar=3.0, goal=1.8, at_most=True))
    if "promise" in rows:
        pairs = [(rate(r, "promise"), rate(r, "invoke")) for r in runs]
        what = "fresh worker, create, await, complete, result, 64 in flight"
        found.append(compared("promise", what, "/s", first, pairs, bar=0.25, goal=0.35))
    if "steps" in rows:
        pairs = [(rate(r, "steps_async"), rate(r, "invoke")) for r in runs]
        what = "handler of 10 runs, async effects, 64 in flight"
        found.append(compared("steps", what, "steps/s", first, pairs, bar=1.0, goal=1.5))
        pairs = [(rate(r, "steps_sync"), rate(r, "invoke")) for r in runs]
        what = "handler of 10 runs, sync effects, 64 in flight"
        found.append(compared("steps", what, "steps/s", first, pairs, bar=0.5, goal=0.8))
    if "calls" in rows:
        found += _call_lines(runs)
    return found


def _call_lines(runs: Sequence[Measured]) -> list[Line]:
    def rates(name: str) -> list[tuple[float, float]]:
        return [(run.windows[name].rate, run.windows["invoke"].rate) for run in runs]

    what = "worker calls worker, one reply, 64 in flight"
    calls = compared("calls", what, "/s", "row 1", rates("call"), bar=0.35, goal=0.5)
    what = "fan-out of 100 with gather, 4 in flight"
    fans = compared("calls", what, "results/s", "row 1", rates("fan"), bar=0.6, goal=1.0)
    pairs = [(r.windows["chain"].p50_seconds * 1e6, r.windows["ten_alone"].p50_seconds * 1e6) for r in runs]
    what, beside = "chain of 10, one reply, alone, p50", "10 invocations, one by one"
    chains = compared("calls", what, "µs", beside, pairs, bar=0.25, goal=0.15, at_most=True)
    return [calls, fans, chains]
