"""What the command line does with a data directory itself, beside a live daemon or without one.

It only reads, but for `repair`, which has the directory alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promissory.oplog.check import Finding, check
from promissory.oplog.comparing import check_found
from promissory.oplog.environment import Environment, ordinal_range
from promissory.oplog.errors import NotFound, OplogError
from promissory.oplog.ids import WorkerId, check_worker_name, escape, resolve_component
from promissory.oplog.reading import recorded
from promissory.oplog.render import render
from promissory.oplog.repair import repair as write_anew
from promissory.oplog.tables import U64, Table, WorkerRow, worker_id_key


def verify(data: Path) -> Iterator[Finding]:
    """Check a data directory and iterate over what is wrong with it.

    Args:
      data: the directory of an executor, live or not.

    Raises:
      NotFound: it holds no data.
      NewerFormat, OlderFormat: it is in another format.
      StoreFailed: LMDB cannot open it.
    """
    environment = _open(data)

    def findings() -> Iterator[Finding]:
        with environment:
            yield from check(environment)

    return findings()


def repair(data: Path) -> int:
    """Write the tables that can be computed from the oplogs anew; durable on return.

    Args:
      data: the directory of an executor that is not running.

    Returns:
      How many rows were not as the oplogs say; what is left to be found `verify` tells.

    Raises:
      NotFound: it holds no data.
      Locked: an executor has it.
      NewerFormat, OlderFormat: it is in another format.
      StoreFailed: LMDB cannot open, read or write it.
    """
    with _open(data, readonly=False) as environment:
        return write_anew(environment)


def backup(data: Path, destination: Path) -> None:
    """Copy one consistent state of a data directory into a new or empty one; durable on return.

    Raises:
      NotFound: the directory holds no data.
      Exists: the destination is not empty.
      NewerFormat, OlderFormat: it is in another format.
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
      OplogCorrupt: an entry cannot be read; those before it have been given. Or another worker is found by that name.
      NewerFormat, OlderFormat: it is in another format, or an entry is.
      StoreFailed: LMDB cannot open it.
    """
    worker_id = WorkerId(resolve_component(component), check_worker_name(name))
    environment = _open(data)
    raw = environment.get(Table.WORKER_IDS, worker_id_key(worker_id))
    if raw is None:
        environment.close()
        raise NotFound(f"there is no worker {component}/{escape(name)}", worker=f"{component}/{escape(name)}")
    ordinal = int(U64.unpack(raw)[0])
    row = environment.get(Table.WORKERS, raw)
    try:
        check_found(worker_id, ordinal, None if row is None else WorkerRow.decode(ordinal, row))
    except OplogError:
        environment.close()
        raise

    def entries() -> Iterator[dict[str, Any]]:
        with environment:
            rows = environment.scan(Table.OPLOG, *ordinal_range(ordinal, max(first, 0)))
            try:
                for index, entry in recorded(rows):
                    yield render(index, entry)
            except OplogError as error:
                raise error.of(f"{component}/{escape(name)}") from None

    return entries()


def _open(data: Path, *, readonly: bool = True) -> Environment:
    if not (data / "data.mdb").is_file():
        raise NotFound(f"{data} holds no promissory data")
    return Environment(data, readonly=readonly)
