"""The figures as Markdown: what the terminal shows is what stands in `bench/RESULTS.md`."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.peers.generator import Took
from bench.peers.rows import WAITING_COUNT, Measured, Row, Waiting

WAITING_BAR_MB = 600.0
WAITING_GOAL_MB = 300.0

Pair = tuple[Measured, Measured]
"""Ours and Restate's, one right after the other."""


def ratio(row: Row, pairs: Sequence[Pair]) -> float:
    """Return the median of each run's own ratio of ours to Restate's."""
    return statistics.median(_ratios(row, pairs))


def _ratios(row: Row, pairs: Sequence[Pair]) -> list[float]:
    return [row.figure(ours.took) / row.figure(theirs.took) for ours, theirs in pairs]


def waits_well(waiting: Waiting) -> bool:
    """Whether the row of waiting requests meets its bar."""
    return waiting.answered_count == WAITING_COUNT and waiting.rss_anon_bytes <= WAITING_BAR_MB * 1e6


def table(measured: Mapping[Row, Sequence[Pair]], waiting: Waiting | None) -> str:
    """Return the table of all rows that were measured."""
    head = ("work", "ours", "Restate", "ratio", "of each run", "bar", "goal", "", "processor ms each: ours", "Restate")
    lines = [_line(head), _line(["---", *["---:"] * 3, "---", "---:", "---:", "---", "---:", "---:"])]
    lines += [_line(_cells(row, pairs)) for row, pairs in measured.items()]
    if waiting is not None:
        lines.append(_line(_waiting_cells(waiting)))
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(row: Row, pairs: Sequence[Pair]) -> Iterator[str]:
    ratios = _ratios(row, pairs)
    middle = statistics.median(ratios)
    sign = "≤" if row.settles else "≥"
    yield f"{row.what}, {row.unit}"
    for side in (0, 1):
        yield _figure(statistics.median(row.figure(pair[side].took) for pair in pairs))
    yield f"**{middle:.2f}**" if row.bar else f"{middle:.2f}"
    yield f"{min(ratios):.2f} to {max(ratios):.2f}"
    yield f"{sign} {row.bar:g}" if row.bar else ""
    yield f"{sign} {row.goal:g}" if row.goal else ""
    yield _verdict(row.meets(middle, row.bar), row.meets(middle, row.goal)) if row.bar else ""
    for side in (0, 1):
        yield _figure(statistics.median(pair[side].processor_ms_each for pair in pairs))


def _waiting_cells(waiting: Waiting) -> Iterator[str]:
    megabytes = waiting.rss_anon_bytes / 1e6
    goal = waits_well(waiting) and megabytes <= WAITING_GOAL_MB
    yield f"{_figure(WAITING_COUNT)} HTTP requests waiting for promises at once, MB of RssAnon of gateway and daemon"
    yield from (f"**{_figure(megabytes)}**", "", "")
    yield f"{_figure(waiting.answered_count)} answered, all within {waiting.seconds:.1f} s of the first settlement"
    yield from (f"≤ {WAITING_BAR_MB:g}", f"≤ {WAITING_GOAL_MB:g}", _verdict(waits_well(waiting), goal), "", "")


def _verdict(bar: bool, goal: bool) -> str:
    return "goal" if bar and goal else "bar" if bar else "missed"


def _figure(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


HEAD = """# Beside Restate

`make bench-peers` measures this; `bench/peers/README.md` says how. A dated copy of one run.
"""


def circumstances(
    ours: Sequence[str], theirs: Sequence[str], alone: Took, many: Took, runs: int, seconds: float
) -> str:
    """Return what has to be known of a run to compare it with another."""
    return "\n".join(
        (
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB · "
            f"Linux {platform.release()} · medians of {runs} runs of {seconds:g} s a side, after 1 s of warming up · "
            f"load of the machine at the end, the bench included: {os.getloadavg()[1]:.1f}",
            "",
            f"- ours: {', '.join(ours)}. LMDB with `sync` and `metasync`: every commit is synced before anything of it "
            "is answered.",
            f"- Restate: {', '.join(theirs)}. `[log-server] rocksdb-disable-wal-fsync = false`, its default: a record "
            "counts as appended when it is synced. One node, replication 1, 24 partitions, its defaults.",
            f"- The load generator does {_figure(alone.rate)} calls/s on 1 connection and {_figure(many.rate)} on 32 "
            "against a server that answers at once and does nothing.",
        )
    )


def _processor() -> str:
    names = (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    return next(names, platform.machine())


def _memory_gb() -> float:
    return next(int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal:")) * 1024 / 1e9


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
