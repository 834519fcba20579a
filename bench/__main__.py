"""`python -m bench [ROW...]`: measures the rows, prints one table, exits with 1 when a bar is missed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.status import Status

from bench import replay, residents, throughput
from bench.table import Line, print_table, to_json

RUNS = 5
PAPER_COLUMNS = 160
"""The width of the table where there is no terminal."""
ROWS = (*throughput.ROWS, *replay.ROWS, *residents.ROWS)


def measure(rows: Sequence[str], runs: int, scratch: Path, status: Status) -> list[Line]:
    """Measure rows so many times, each beside its limit, in turn."""
    throughputs: list[throughput.Measured] = []
    replays: list[tuple[float, float]] = []
    restarts: list[residents.Restarted] = []
    over_socket = [row for row in rows if row in throughput.ROWS]
    prepared: residents.Prepared | None = None
    if "replay" in rows:
        replay.prepare(scratch / "replay")
    if "residents" in rows:
        status.update(f"suspending {residents.COUNT} workers")
        prepared = residents.prepare(scratch / "residents")
    for run in range(runs):
        status.update(f"run {run + 1} of {runs}")
        if over_socket:
            throughputs.append(throughput.measure(run, over_socket, scratch))
        if "replay" in rows:
            replays.append(replay.measure(scratch / "replay"))
        if prepared is not None:
            restarts.append(residents.restart(scratch / "residents", run))
    return list(_lines(over_socket, throughputs, replays, prepared, restarts))


def _lines(
    over_socket: Sequence[str],
    throughputs: list[throughput.Measured],
    replays: list[tuple[float, float]],
    prepared: residents.Prepared | None,
    restarts: list[residents.Restarted],
) -> Iterator[Line]:
    if throughputs:
        yield from throughput.lines(over_socket, throughputs)
    if replays:
        yield from replay.lines(replays)
    if prepared is not None:
        yield from residents.lines(prepared, restarts)


@contextmanager
def _scratch(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept
    else:
        with tempfile.TemporaryDirectory(prefix="promissory-bench-") as path:
            yield Path(path)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one or more of {', '.join(ROWS)}; all by default")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how many runs the medians are of ({RUNS})")
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    parser.add_argument("--keep", type=Path, help="measure in this new directory and keep it")
    options = parser.parse_args()
    rows = options.rows or list(ROWS)
    if unknown := sorted(set(rows) - set(ROWS)):
        parser.error(f"no such row: {', '.join(unknown)} (there are {', '.join(ROWS)})")
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    progress = Console(stderr=True)
    with _scratch(options.keep) as scratch, progress.status("starting") as status:
        lines = measure(rows, options.runs, scratch, status)
    if options.json:
        sys.stdout.write(to_json(lines).decode() + "\n")
    else:
        console = Console()
        print_table(lines, console if console.is_terminal else Console(width=PAPER_COLUMNS))
    return 0 if all(line.meets(line.bar) for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
