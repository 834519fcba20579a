"""The store: one executor at a time, synced, private, whole commits, and no reader left behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import lmdb
import pytest

from promissory.oplog.environment import LOCK_FILE, Environment, Locked, ordinal_range, prefix_end
from promissory.oplog.errors import Exists, NewerFormat, OlderFormat, StoreFailed
from promissory.oplog.tables import FORMAT_VERSION, Table, oplog_key

ROWS = {oplog_key(1, index): b"%d" % index for index in range(1, 3001)}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def child(code: str, *args: str) -> str:
    """Run Python in another process and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code, *args], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


OPEN = """
import sys
from pathlib import Path
from promissory.oplog.environment import Environment, Locked
try:
    Environment(Path(sys.argv[1]), readonly=len(sys.argv) > 2)
    print("opened")
except Locked as error:
    print(error)
"""


def test_a_second_executor_is_refused(environment: Environment) -> None:
    """Neither this process nor another can open the data a second time; the error names who has it."""
    with pytest.raises(Locked, match=f"pid {os.getpid()}"):
        Environment(environment.path)
    assert child(OPEN, str(environment.path)).endswith(f"in use by another executor (pid {os.getpid()})")


def test_the_lock_ends_with_its_holder(environment: Environment) -> None:
    """Once closed, or when its process has ended in whatever way, the data can be opened again."""
    environment.close()
    killed = subprocess.run(
        [sys.executable, "-c", OPEN + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", environment.path],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    with Environment(environment.path):
        pass


def test_a_refused_executor_leaves_the_lock_alone(environment: Environment) -> None:
    """Trying in vain does not rob the holder of its lock."""
    for _ in range(2):
        with pytest.raises(Locked):
            Environment(environment.path)
    assert (environment.path / LOCK_FILE).read_text() == f"{os.getpid()}\n"


def test_readers_need_no_lock(environment: Environment) -> None:
    """Another process reads beside a live executor."""
    assert child(OPEN, str(environment.path), "readonly") == "opened"


def test_only_the_owner_can_read(environment: Environment) -> None:
    """The directory has mode 0700 and every file in it 0600, whatever the umask."""
    assert mode(environment.path) == 0o700
    assert {path.name for path in environment.path.iterdir()} == {"data.mdb", "lock.mdb", LOCK_FILE}
    assert {mode(path) for path in environment.path.iterdir()} == {0o600}


def test_opening_leaves_the_umask_alone(tmp_path: Path) -> None:
    """Files are private without changing the process's umask for good."""
    old = os.umask(0o022)
    try:
        with Environment(tmp_path / "data"):
            assert os.umask(0o022) == 0o022
        assert mode(tmp_path / "data" / "data.mdb") == 0o600
    finally:
        os.umask(old)


def test_commits_are_synced(environment: Environment) -> None:
    """Without being asked for anything else, data and meta pages are synced at each commit."""
    flags = environment.flags()

    assert (flags["sync"], flags["metasync"], flags["map_async"], flags["writemap"]) == (True, True, False, False)


def test_syncing_is_only_left_out_when_asked(tmp_path: Path) -> None:
    """The one way not to sync is to say so, and the flags tell."""
    with Environment(tmp_path / "data", sync=False) as unsynced:
        assert not unsynced.flags()["sync"]


def test_a_newer_format_is_refused(environment: Environment) -> None:
    """Data of a later format is not opened, neither for writing nor for reading, and the lock is let go."""
    environment.commit({Table.META: {b"format": (FORMAT_VERSION + 1).to_bytes(4, "big")}})
    path = environment.path
    environment.close()

    for readonly in (True, False, False):
        with pytest.raises(NewerFormat, match=f"format {FORMAT_VERSION + 1}; this version reads up to"):
            Environment(path, readonly=readonly)


def test_a_format_that_was_never_released_is_refused(environment: Environment) -> None:
    """Data of format 1 is refused in one line that says why, and nothing is written to it."""
    environment.commit({Table.META: {b"format": (1).to_bytes(4, "big")}})
    path = environment.path
    environment.close()
    before = (path / "data.mdb").read_bytes()

    for readonly in (True, False, False):
        with pytest.raises(OlderFormat, match="format 1, which was never released: begin with a new directory"):
            Environment(path, readonly=readonly)
    assert (path / "data.mdb").read_bytes() == before


def test_tables_that_a_format_lacks_do_not_hide_its_number(tmp_path: Path) -> None:
    """A directory without the tables of this format is told by its number, when it is only read too."""
    (tmp_path / "old").mkdir()
    with lmdb.open(str(tmp_path / "old"), max_dbs=2) as env:
        meta = env.open_db(b"meta")
        with env.begin(write=True) as txn:
            txn.put(b"format", (1).to_bytes(4, "big"), db=meta)

    with pytest.raises(OlderFormat, match="never released"):
        Environment(tmp_path / "old", readonly=True)


def test_the_format_is_written_once(environment: Environment) -> None:
    """A fresh environment says which format it has, and opening it again writes nothing."""
    assert environment.get(Table.META, b"format") == FORMAT_VERSION.to_bytes(4, "big")
    path = environment.path
    environment.close()
    before = (path / "data.mdb").read_bytes()
    with Environment(path):
        pass
    assert (path / "data.mdb").read_bytes() == before


def test_what_is_no_environment_is_refused(tmp_path: Path) -> None:
    """A missing directory is not made for a reader; a file that is not LMDB's, or has no tables, is said to be so."""
    with pytest.raises(StoreFailed, match="cannot open"):
        Environment(tmp_path / "none", readonly=True)
    assert not (tmp_path / "none").exists()

    lmdb.open(str(tmp_path / "empty")).close()
    with pytest.raises(StoreFailed, match="holds no promissory data"):
        Environment(tmp_path / "empty", readonly=True)

    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "data.mdb").write_bytes(b"no" * 8192)
    with pytest.raises(StoreFailed, match="cannot open"):
        Environment(tmp_path / "bad")


def test_a_commit_is_whole(environment: Environment) -> None:
    """If one row cannot be written, none of the commit is there, and the next commit works."""
    too_long = {b"k" * 600: b""}

    with pytest.raises(StoreFailed, match="commit failed"):
        environment.commit({Table.OPLOG: {oplog_key(1, 1): b"x"}, Table.WORKERS: too_long})
    assert environment.count(Table.OPLOG) == 0

    environment.commit({Table.OPLOG: {oplog_key(1, 1): b"y"}})
    assert environment.get(Table.OPLOG, oplog_key(1, 1)) == b"y"


def test_a_commit_is_not_seen_before_its_end(environment: Environment) -> None:
    """When everything is written but the commit, no reader sees any of it."""
    seen: list[bytes | None] = []
    key = oplog_key(1, 1)

    environment.commit({Table.OPLOG: {key: b"x"}}, lambda: seen.append(environment.get(Table.OPLOG, key)))

    assert seen == [None]
    assert environment.get(Table.OPLOG, key) == b"x"


def test_a_commit_given_up_at_its_end_leaves_nothing(environment: Environment) -> None:
    """An error just before the commit aborts it and does not hold up the next."""

    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        environment.commit({Table.OPLOG: {oplog_key(1, 1): b"x"}}, fail)
    environment.commit({Table.OPLOG: {oplog_key(1, 2): b"y"}})

    assert list(environment.scan(Table.OPLOG)) == [(oplog_key(1, 2), b"y")]


def test_commits_put_replace_and_delete(environment: Environment) -> None:
    """A commit puts rows, replaces them, deletes them, and deleting what is not there is no error."""
    one, two = oplog_key(1, 1), oplog_key(1, 2)
    environment.commit({Table.OPLOG: {one: b"a", two: b"b"}})
    environment.commit({Table.OPLOG: {one: b"c", two: None, oplog_key(1, 3): None}})

    assert list(environment.scan(Table.OPLOG)) == [(one, b"c")]


def test_what_was_committed_is_there_again(environment: Environment) -> None:
    """Rows survive closing and opening."""
    environment.commit({Table.OPLOG: dict(ROWS)})
    path = environment.path
    environment.close()
    with Environment(path) as again:
        assert dict(again.scan(Table.OPLOG)) == ROWS


def test_scans_give_ranges_in_order(environment: Environment) -> None:
    """A scan gives every row of its range once, in order, over any number of slices."""
    environment.commit({Table.OPLOG: {**ROWS, oplog_key(0, 9): b"", oplog_key(2, 1): b""}})

    assert list(environment.scan(Table.OPLOG, *ordinal_range(1))) == list(ROWS.items())
    assert len(list(environment.scan(Table.OPLOG))) == len(ROWS) + 2
    assert next(environment.scan(Table.OPLOG, *ordinal_range(1, 2999)))[1] == b"2999"
    assert [row for _, row in environment.read(Table.OPLOG, *ordinal_range(1, 2999), 9)] == [b"2999", b"3000"]
    assert environment.read(Table.OPLOG, b"", None, 0) == []
    assert environment.last_key(Table.OPLOG) == oplog_key(2, 1)
    assert environment.last_key(Table.OPLOG, oplog_key(2, 1)) == oplog_key(1, 3000)
    assert environment.last_key(Table.OPLOG, oplog_key(9, 1)) == oplog_key(2, 1)
    assert environment.last_key(Table.OPLOG, oplog_key(0, 1)) is None
    assert environment.last_key(Table.TIMERS) is None


def test_scans_left_halfway_pin_nothing(environment: Environment) -> None:
    """However many scans are begun and forgotten, no reader stays, and rows may change meanwhile."""
    environment.commit({Table.OPLOG: dict(ROWS)})
    begun = [environment.scan(Table.OPLOG) for _ in range(50)]
    for scan in begun:
        next(scan)
    readers = environment.reader_count()
    environment.commit({Table.OPLOG: dict.fromkeys(ROWS)})

    assert readers <= 1
    assert environment.reader_count() <= 1
    assert sum(1 for _ in begun[0]) == 1023  # what its slice had copied
    used = environment.used_bytes()
    for _ in range(20):
        environment.commit({Table.OPLOG: dict(ROWS)})
        environment.commit({Table.OPLOG: dict.fromkeys(ROWS)})
    assert environment.used_bytes() == used


def test_a_snapshot_is_one_view(environment: Environment) -> None:
    """A snapshot sees nothing of later commits, and its reader ends with it."""
    environment.commit({Table.OPLOG: {oplog_key(1, 1): b"x"}})
    with environment.snapshot() as snapshot:
        environment.commit({Table.OPLOG: {oplog_key(1, 1): b"y", oplog_key(1, 2): b"z"}})
        assert snapshot.get(Table.OPLOG, oplog_key(1, 1)) == b"x"
        assert list(snapshot.rows(Table.OPLOG)) == [(oplog_key(1, 1), b"x")]
    readers = environment.reader_count()
    for _ in range(20):
        with environment.snapshot() as snapshot:
            next(snapshot.rows(Table.OPLOG))
    assert environment.reader_count() == readers


def test_a_backup_is_a_copy(environment: Environment, tmp_path: Path) -> None:
    """A backup of an open environment opens by itself, is private, and holds what was committed."""
    environment.commit({Table.OPLOG: dict(ROWS)})
    environment.backup(tmp_path / "a" / "copy")
    environment.commit({Table.OPLOG: dict.fromkeys(ROWS)})

    assert mode(tmp_path / "a" / "copy") == 0o700
    assert mode(tmp_path / "a" / "copy" / "data.mdb") == 0o600
    with Environment(tmp_path / "a" / "copy") as copy:
        assert dict(copy.scan(Table.OPLOG)) == ROWS


def test_a_backup_overwrites_nothing(environment: Environment, tmp_path: Path) -> None:
    """A destination that holds anything, or is a file, is refused and left as it was."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    for destination in (tmp_path / "full", tmp_path / "full" / "x"):
        with pytest.raises(Exists):
            environment.backup(destination)
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["x"]


def test_prefixes_end() -> None:
    """The end of a prefix is the next prefix, or none."""
    assert prefix_end(b"\x00\xff") == b"\x01\x00"
    assert prefix_end(b"\xff\xff") is None
    assert ordinal_range(2**64 - 1) == (b"\xff" * 8 + bytes(8), None)
