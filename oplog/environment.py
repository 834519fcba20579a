"""One LMDB environment: opening, locking, committing, and reading by snapshots.

Two rules keep LMDB sound here. A write transaction begins and commits inside `Environment.commit`, in the one thread
that calls it. A read copies what it returns and ends its transaction before it returns; whoever reads a long range
does so in slices (`Environment.scan`), so no reader pins old pages while somebody awaits.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import lmdb

from promissory.oplog.errors import Exists, NewerFormat, OlderFormat, OplogError, StoreFailed
from promissory.oplog.tables import FORMAT_VERSION, Table

MAP_SIZE_BYTES = 1 << 40
"""Address space reserved once; the file grows with the data. Remapping under a reader would be a SIGBUS."""
LOCK_FILE = "executor.lock"
KEY_BYTES_MAX = 511
"""LMDB keeps no longer key."""
_READERS_MAX = 1024
_SCAN_SLICE = 1024

_FORMAT_KEY = b"format"


class Locked(OplogError):
    """Another executor has this data directory."""

    kind = "locked"


class StorePanicked(OplogError):
    """LMDB gave up in the middle of a commit: whether it happened is unknown until the data is opened again."""

    kind = "store_panicked"


class Environment:
    """The tables of one data directory, open.

    Args:
      path: the data directory; made with mode 0700 if it does not exist and `readonly` is false.
      readonly: open beside a live executor, for reading only; takes no lock.
      sync: fsync every commit. Tests that measure something else may turn it off; nothing else may.

    Raises:
      Locked: another executor holds the directory.
      NewerFormat: the data was written in a newer format.
      OlderFormat: the data was written in a format that was never released.
      StoreFailed: LMDB cannot open it.
    """

    def __init__(self, path: Path, *, readonly: bool = False, sync: bool = True) -> None:
        self.path = path
        self._lock: int | None = None
        if not readonly:
            try:
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.chmod(0o700)
                self._lock = _take_lock(path / LOCK_FILE)
            except OSError as error:
                raise StoreFailed(f"cannot use {path} as a data directory: {error.strerror}") from error
        try:
            old_umask = os.umask(0o077)
            try:
                self._env = lmdb.open(
                    str(path),
                    map_size=MAP_SIZE_BYTES,
                    max_dbs=len(Table),
                    max_readers=_READERS_MAX,
                    readonly=readonly,
                    create=not readonly,
                    sync=sync,
                    metasync=sync,
                    readahead=False,
                    mode=0o600,
                )
            finally:
                os.umask(old_umask)
            self._check_format()
            self._dbs = [self._env.open_db(table.name.lower().encode(), create=not readonly) for table in Table]
            if not readonly and self.get(Table.META, _FORMAT_KEY) is None:
                self.commit({Table.META: {_FORMAT_KEY: FORMAT_VERSION.to_bytes(4, "big")}})
        except lmdb.NotFoundError as error:
            self.close()
            raise StoreFailed(f"{path} holds no promissory data") from error
        except lmdb.Error as error:
            self.close()
            raise StoreFailed(f"cannot open {path}: {error}") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Environment:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the environment and release the lock."""
        env = self.__dict__.pop("_env", None)
        if env is not None:
            env.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check_format(self) -> None:
        """Refuse data of another format before any table of this one is opened or made."""
        try:
            meta = self._env.open_db(Table.META.name.lower().encode(), create=False)
        except lmdb.NotFoundError:
            return
        with self._env.begin() as txn:
            raw = txn.get(_FORMAT_KEY, None, meta)
        if raw is None:
            return
        version = int.from_bytes(raw, "big")
        if version > FORMAT_VERSION:
            raise NewerFormat(
                f"{self.path} holds data of format {version}; this version reads up to {FORMAT_VERSION}",
                expected=str(FORMAT_VERSION),
                found=str(version),
            )
        if version < FORMAT_VERSION:
            raise OlderFormat(
                f"{self.path} holds data of format {version}, which was never released: begin with a new directory",
                expected=str(FORMAT_VERSION),
                found=str(version),
            )

    def commit(
        self, changes: Mapping[Table, Mapping[bytes, bytes | None]], written: Callable[[], None] | None = None
    ) -> None:
        """Make all changes durable in one transaction, or none of them.

        Args:
          changes: for each table the rows to put, None to delete.
          written: called when every row is in the transaction and only the commit is left.

        Raises:
          StoreFailed: the transaction did not commit; nothing of it is durable.
          StorePanicked: LMDB panicked; only opening the data again tells whether it committed.

        After a crash: either all of the changes are there or none is.
        """
        try:
            txn = self._env.begin(write=True)
            try:
                for table, rows in changes.items():
                    db = self._dbs[table]
                    put, delete = txn.put, txn.delete
                    for key, row in rows.items():
                        if row is None:
                            delete(key, b"", db)
                        else:
                            put(key, row, True, True, False, db)
                if written is not None:
                    written()
            except BaseException:
                txn.abort()
                raise
            txn.commit()
        except lmdb.PanicError as error:
            raise StorePanicked(f"LMDB panicked: {error}") from error
        except lmdb.Error as error:
            raise StoreFailed(f"commit failed: {error}{_space_left(self.path)}") from error

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the durable row under `key`, or None."""
        with self._env.begin() as txn:
            row: bytes | None = txn.get(key, None, self._dbs[table])
            return row

    def read(self, table: Table, first: bytes, end: bytes | None, limit: int) -> list[tuple[bytes, bytes]]:
        """Return at most `limit` durable rows from `first` on and before `end`, in order, of one snapshot."""
        found: list[tuple[bytes, bytes]] = []
        with self._env.begin() as txn, txn.cursor(self._dbs[table]) as cursor:
            if limit > 0 and cursor.set_range(first):
                for item in cursor.iternext(True, True):
                    if end is not None and item[0] >= end:
                        break
                    found.append(item)
                    if len(found) >= limit:
                        break
        return found

    def read_run(self, table: Table, first: bytes, count: int) -> list[tuple[bytes, bytes]]:
        """Return at most `count` durable rows from `first` on, in order, of one snapshot: for keys that are dense."""
        with self._env.begin() as txn, txn.cursor(self._dbs[table]) as cursor:
            return list(islice(cursor.iternext(True, True), count)) if cursor.set_range(first) else []

    def keys(self, table: Table, prefixes: Iterable[bytes], limit: int) -> list[bytes] | None:
        """Return the durable keys that begin with one of the prefixes, of one snapshot; None if more than `limit`."""
        found: list[bytes] = []
        with self._env.begin() as txn, txn.cursor(self._dbs[table]) as cursor:
            for prefix in prefixes:
                if cursor.set_range(prefix):
                    for key in islice(cursor.iternext(True, False), limit + 1):
                        if not key.startswith(prefix):
                            break
                        found.append(key)
                if len(found) > limit:
                    return None
        return found

    def scan(self, table: Table, first: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the durable rows from `first` on and before `end`, in slices of a snapshot each."""
        while True:
            rows = self.read(table, first, end, _SCAN_SLICE)
            yield from rows
            if len(rows) < _SCAN_SLICE:
                return
            first = rows[-1][0] + b"\0"

    def last_key(self, table: Table, before: bytes | None = None) -> bytes | None:
        """Return the greatest durable key of a table (below `before`, if given), or None."""
        with self._env.begin() as txn, txn.cursor(self._dbs[table]) as cursor:
            found = cursor.last() if before is None or not cursor.set_range(before) else cursor.prev()
            return bytes(cursor.key()) if found else None

    def snapshot(self) -> Snapshot:
        """Return a read transaction as a context manager, for checks that need one view of all tables."""
        return Snapshot(self._env.begin(), self._dbs)

    def count(self, table: Table) -> int:
        """Return how many rows a table holds."""
        with self._env.begin() as txn:
            return int(txn.stat(self._dbs[table])["entries"])

    def used_bytes(self) -> int:
        """Return the bytes of the pages in use, free pages of the file not counted."""
        with self._env.begin() as txn:
            pages = sum(
                stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
                for stat in (txn.stat(db) for db in self._dbs)
            )
        return int(pages * self._env.stat()["psize"])

    def backup(self, destination: Path) -> None:
        """Copy a consistent snapshot, compacted, into a directory that is new or empty; durable on return.

        Raises:
          Exists: something is there already.
          StoreFailed: it could not be written.
        """
        try:
            destination.mkdir(mode=0o700, parents=True, exist_ok=True)
            if any(destination.iterdir()):
                raise Exists(f"{destination} is not empty")
            self._env.copy(str(destination), compact=True)
            (destination / "data.mdb").chmod(0o600)
            for path in (destination / "data.mdb", destination):
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except FileExistsError as error:
            raise Exists(f"{destination} is not a directory") from error
        except (OSError, lmdb.Error) as error:
            raise StoreFailed(f"cannot write {destination}: {error}") from error

    def flags(self) -> dict[str, Any]:
        """Return LMDB's flags of this environment; `sync` among them."""
        return dict(self._env.flags())

    def reader_count(self) -> int:
        """Return the reader slots in use, for tests that look for leaks."""
        return max(0, len(self._env.readers().splitlines()) - 1)


class Snapshot:
    """One consistent view of all tables; close it soon, it keeps old pages from being reused."""

    def __init__(self, txn: Any, dbs: list[Any]) -> None:
        self._txn = txn
        self._dbs = dbs

    def __enter__(self) -> Snapshot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._txn.abort()

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the row under `key`, or None.

        Raises:
          StoreFailed: LMDB finds its pages damaged.
        """
        try:
            row: bytes | None = self._txn.get(key, None, self._dbs[table])
        except lmdb.Error as error:
            raise StoreFailed(f"cannot read {table.name.lower()}: {error}") from error
        return row

    def beside(self, table: Table, key: bytes) -> list[tuple[bytes, bytes]]:
        """Return the row before a key and that at or after it, where there are such rows.

        Raises:
          StoreFailed: LMDB finds its pages damaged.
        """
        found: list[tuple[bytes, bytes]] = []
        try:
            with self._txn.cursor(self._dbs[table]) as cursor:
                if cursor.set_range(key):
                    found.append(cursor.item())
                    is_before = cursor.prev()
                else:
                    is_before = cursor.last()
                if is_before:
                    found.append(cursor.item())
        except lmdb.Error as error:
            raise StoreFailed(f"cannot read {table.name.lower()}: {error}") from error
        return found

    def rows(self, table: Table, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Iterate over the rows of a table in key order, from `first` on.

        Raises:
          StoreFailed: LMDB finds its pages damaged.
        """
        try:
            with self._txn.cursor(self._dbs[table]) as cursor:
                if not first or cursor.set_range(first):
                    yield from cursor
        except lmdb.Error as error:
            raise StoreFailed(f"cannot read {table.name.lower()}: {error}") from error


def _take_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise Locked(f"{path.parent} is in use by another executor (pid {holder or 'unknown'})") from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def _space_left(path: Path) -> str:
    """Say that the disk is full when it is: LMDB reports that as an input/output error."""
    try:
        stat = os.statvfs(path)
    except OSError:
        return ""
    free_bytes = stat.f_bavail * stat.f_frsize
    return f" (the disk is full: {free_bytes} bytes left)" if free_bytes < 16 << 20 else ""


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the smallest key greater than every key that begins with `prefix`."""
    number = int.from_bytes(prefix, "big") + 1
    try:
        return number.to_bytes(len(prefix), "big")
    except OverflowError:
        return None


def ordinal_range(ordinal: int, first: int = 0) -> tuple[bytes, bytes | None]:
    """Return the first key and the end of a worker's rows in a table whose keys begin with (ordinal, index)."""
    prefix = struct.pack(">Q", ordinal)
    return prefix + struct.pack(">Q", first), prefix_end(prefix)
