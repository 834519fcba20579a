"""`python -m bench.peers [ROW...]`: ours and Restate in turn, one table, exit status 1 when a bar is missed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.peers import report
from bench.peers.rows import ROWS, WAITING_COUNT, Measured, Row, Waiting, measure, measure_generator, measure_waiting
from bench.peers.servers import Ours, Restate, Side, restate_server

RUNS = 5
SECONDS = 3.0
WAITING = "waiting"
NAMES = (*(row.name for row in ROWS), WAITING)


def compare(rows: Sequence[Row], ours: Side, theirs: Side, runs: int, seconds: float) -> dict[Row, list[report.Pair]]:
    """Measure the rows so many times, each on both sides in turn; who is first alternates from run to run."""
    measured: dict[Row, list[report.Pair]] = {row: [] for row in rows}
    for run in range(runs):
        sides = (ours, theirs) if run % 2 == 0 else (theirs, ours)
        # Rows may show different figures of the same work.
        done: dict[tuple[str, int], dict[str, Measured]] = {}
        for row in rows:
            work = (row.work, row.in_flight)
            if work not in done:
                _tell(f"run {run + 1} of {runs}: {row.what}")
                done[work] = {side.name: measure(side, *work, seconds) for side in sides}
            measured[row].append((done[work][ours.name], done[work][theirs.name]))
            _tell(f"    {row.unit}: " + ", ".join(f"{n} {row.figure(m.took):.2f}" for n, m in done[work].items()))
    return measured


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")


def _new(scratch: Path, name: str) -> Path:
    path = scratch / name
    path.mkdir()
    return path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"one or more of {', '.join(NAMES)}; all by default")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"how many runs the medians are of ({RUNS})")
    parser.add_argument("--seconds", type=float, default=SECONDS, help=f"how long each is measured ({SECONDS:g})")
    parser.add_argument("--write", type=Path, help="write what is printed to this file too")
    options = parser.parse_args()
    names = options.rows or list(NAMES)
    if unknown := sorted(set(names) - set(NAMES)):
        parser.error(f"no such row: {', '.join(unknown)} (there are {', '.join(NAMES)})")
    if options.runs < 1:
        parser.error("--runs must be at least 1")
    restate_server()
    rows = [row for row in ROWS if row.name in names]
    waiting: Waiting | None = None
    with tempfile.TemporaryDirectory(prefix="promissory-peers-") as path:
        scratch = Path(path)
        alone, many = measure_generator(1, options.seconds), measure_generator(32, options.seconds)
        with Ours(_new(scratch, "both")) as ours, Restate(scratch / "both") as theirs:
            measured = compare(rows, ours, theirs, options.runs, options.seconds)
            known = report.circumstances(ours.versions(), theirs.versions(), alone, many, options.runs, options.seconds)
        if WAITING in names:
            _tell(f"{WAITING_COUNT} requests waiting")
            with Ours(_new(scratch, WAITING)) as ours:
                waiting = measure_waiting(ours)
    text = f"{known}\n\n{report.table(measured, waiting)}\n"
    sys.stdout.write(text)
    if options.write is not None:
        options.write.write_text(f"{report.HEAD}\n{text}")
    judged = [row.meets(report.ratio(row, pairs), row.bar) for row, pairs in measured.items()]
    return 0 if all(judged) and (waiting is None or report.waits_well(waiting)) else 1


if __name__ == "__main__":
    sys.exit(main())
