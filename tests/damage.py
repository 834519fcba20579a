"""Damage to order: one bit of one entry of a worker, in a data directory that no executor has open."""

from __future__ import annotations

from pathlib import Path

from promissory.oplog.environment import Environment
from promissory.oplog.tables import U64, Table, WorkerRow, oplog_key

Place = tuple[int, int, int]
"""A worker's ordinal, and the first and last index of its life."""


def places(environment: Environment) -> dict[str, Place]:
    """Return where the entries of every living worker stand, by the worker's name."""
    rows = [WorkerRow.decode(U64.unpack(key)[0], row) for key, row in environment.scan(Table.WORKERS)]
    return {row.worker_id.worker_name: (row.ordinal, row.life, row.last) for row in rows if row.life}


def flip(data: Path, name: str, index: int) -> None:
    """Flip the last bit of an entry of a worker."""
    with Environment(data) as environment:
        key = oplog_key(places(environment)[name][0], index)
        row = environment.get(Table.OPLOG, key)
        assert row is not None
        environment.commit({Table.OPLOG: {key: row[:-1] + bytes([row[-1] ^ 1])}})
