"""What the command line does with a data directory itself, beside a live daemon or without one: it only reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promissory.oplog.check import Finding, check
from promissory.oplog.codec import decode_entry
from promissory.oplog.environment import Environment, ordinal_range
from promissory.oplog.errors import NotFound, OplogError
from promissory.oplog.ids import WorkerId, check_worker_name, escape, resolve_component
from promissory.oplog.render import render
from promissory.oplog.tables import PAIR, U64, Table, worker_id_key


def verify(data: Path) -> Iterator[Finding]:
    """Check a data directory and iterate over what is wrong with it.

    Args:
      data: the directory of an executor, live or not.

    Raises:
      NotFound: it holds no data.
      NewerFormat: it was written by a newer promissory.
      StoreFailed: LMDB cannot open it.
    """
    environment = _open(data)

    def findings() -> Iterator[Finding]:
        with environment:
            yield from check(environment)

    return findings()


def backup(data: Path, destination: Path) -> None:
    """Copy one consistent state of a data directory into a new or empty one; durable on return.

    Raises:
      NotFound: the directory holds no data.
      Exists: the destination is not empty.
      NewerFormat: it was written by a newer promissory.
      StoreFailed: it cannot be read, or the copy not written.
    """
    with _open(data) as environment:
        environment.backup(destination)


def read_oplog(data: Path, component: str, name: str, first: int) -> Iterator[dict[str, Any]]:
    """Iterate over the durable entries of a worker, as `render` shows them, up to the last one there is.

    Args:
      data: the directory of an executor, live or not.
      component: the component's name or id.
      name: the worker's name.
      first: the index to begin at.

    Raises:
      NotFound: the directory holds no data, or there is no such worker.
      OplogCorrupt: an entry cannot be read; those before it have been given.
      NewerFormat: the data was written by a newer promissory.
      StoreFailed: LMDB cannot open it.
    """
    worker_id = WorkerId(resolve_component(component), check_worker_name(name))
    environment = _open(data)
    raw = environment.get(Table.WORKER_IDS, worker_id_key(worker_id))
    if raw is None:
        environment.close()
        raise NotFound(f"there is no worker {component}/{escape(name)}", worker=f"{component}/{escape(name)}")
    ordinal = int(U64.unpack(raw)[0])

    def entries() -> Iterator[dict[str, Any]]:
        with environment:
            for key, record in environment.scan(Table.OPLOG, *ordinal_range(ordinal, max(first, 0))):
                index = PAIR.unpack(key)[1]
                try:
                    entry = decode_entry(key, record)
                except OplogError as error:
                    error.worker, error.index = f"{component}/{escape(name)}", index
                    error.message = f"entry {index} of {error.worker}: {error.message}"
                    raise
                yield render(index, entry)

    return entries()


def _open(data: Path) -> Environment:
    if not (data / "data.mdb").is_file():
        raise NotFound(f"{data} holds no promissory data")
    return Environment(data, readonly=True)
