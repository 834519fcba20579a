"""The physical limits beside ours: bare LMDB commits, an echo by the same client and server, a bare scan."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cbor2
import lmdb
import trio

from bench.serve import Transaction
from promissory.executor.config import Config
from promissory.executor.server.server import Connection
from promissory.oplog.environment import MAP_SIZE_BYTES
from promissory.oplog.tables import Table

ANSWER = {"invocation": "inv_1" + "A" * 46, "result": b"12345"}


@contextmanager
def bare_environment(path: Path) -> Iterator[tuple[Any, list[Any]]]:
    """Open a fresh LMDB environment with the flags of `oplog.environment.Environment`."""
    path.mkdir()
    with lmdb.open(
        str(path),
        map_size=MAP_SIZE_BYTES,
        max_dbs=len(Table),
        max_readers=1024,
        sync=True,
        metasync=True,
        readahead=False,
    ) as env:
        yield env, [env.open_db(table.name.lower().encode()) for table in Table]


def commit_times(path: Path, before: Sequence[Transaction], measured: Sequence[Transaction]) -> list[float]:
    """Commit transactions one after another into a fresh environment; return the seconds of each measured one."""
    with bare_environment(path) as (env, dbs):
        for transaction in before:
            _commit(env, dbs, transaction)
        took = []
        for transaction in measured:
            start = time.perf_counter()
            _commit(env, dbs, transaction)
            took.append(time.perf_counter() - start)
    return took


def _commit(env: Any, dbs: list[Any], transaction: Transaction) -> None:
    with env.begin(write=True) as txn:
        put, delete = txn.put, txn.delete
        for table, rows in transaction[1]:
            db = dbs[table]
            for key, row in rows:
                if row is None:
                    delete(key, b"", db)
                else:
                    put(key, row, True, True, False, db)


def scan_seconds(path: Path) -> tuple[int, float]:
    """Read every entry of an environment that nobody has open and decode its body as CBOR.

    Returns:
      How many entries, and the seconds they took.
    """
    with lmdb.open(str(path), max_dbs=len(Table), readonly=True, lock=False, readahead=False) as env:
        db = env.open_db(b"oplog", create=False)
        count = 0
        start = time.perf_counter()
        with env.begin() as txn, txn.cursor(db) as cursor:
            for _, record in cursor:
                cbor2.loads(record[5:])
                count += 1
        return count, time.perf_counter() - start


class _Echo:
    """Answers every request at once with what an invocation would be answered, and does nothing else."""

    def __init__(self) -> None:
        self.config = Config()
        self.unwritten: set[Connection] = set()

    def perform(self, op: object, fields: dict[str, Any], reply: Any) -> None:
        reply.ok(ANSWER)

    def run_ready(self) -> None:
        while self.unwritten:
            self.unwritten.pop().write()


async def _serve_echo(path: str) -> None:
    echo: Any = _Echo()

    async def serve(stream: trio.SocketStream) -> None:
        await Connection(stream, echo, echo, echo.config, "echo", echo.unwritten).serve()

    listening = trio.socket.socket(trio.socket.AF_UNIX)
    await listening.bind(path)
    listening.listen()
    await trio.serve_listeners(serve, [trio.SocketListener(listening)])


if __name__ == "__main__":
    trio.run(_serve_echo, sys.argv[1])
