"""The daemon in a process of its own, as `promissory serve` runs it; with `--record`, its transactions are kept.

Keeping them costs one append to a list per commit. They are written to the file when the daemon has ended.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from promissory.executor.server import daemon
from promissory.oplog.environment import Environment
from promissory.oplog.tables import Table

Changes = Mapping[Table, Mapping[bytes, "bytes | None"]]
Transaction = tuple[float, list[tuple[int, list[tuple[bytes, "bytes | None"]]]]]
"""When it began (`time.monotonic`), and for each table its puts and, with None, deletes."""


def keep_transactions() -> list[tuple[float, Changes]]:
    """Have every commit of this process appended to the list that is returned."""
    kept: list[tuple[float, Changes]] = []
    commit = Environment.commit

    def keeping(environment: Environment, changes: Changes, written: Callable[[], None] | None = None) -> None:
        kept.append((time.monotonic(), changes))
        commit(environment, changes, written)

    Environment.commit = keeping  # type: ignore[assignment,method-assign]
    return kept


def load_transactions(path: Path) -> list[Transaction]:
    """Return what a recording daemon wrote."""
    transactions: list[Transaction] = pickle.loads(path.read_bytes())
    return transactions


def _plain(kept: list[tuple[float, Changes]]) -> list[Transaction]:
    return [
        (began, [(int(table), list(rows.items())) for table, rows in changes.items() if rows])
        for began, changes in kept
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.serve")
    parser.add_argument("module")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--record", type=Path)
    options = parser.parse_args()
    kept = keep_transactions() if options.record else []
    status = daemon.run(
        modules=[options.module],
        data=options.data,
        socket=None,
        http=None,
        token=None,
        config=None,
        log_level="warning",
    )
    if options.record:
        options.record.write_bytes(pickle.dumps(_plain(kept)))
    return status


if __name__ == "__main__":
    sys.exit(main())
