"""What works on a data directory without the daemon: verify, backup, reading an oplog; beside a live one too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from promissory.executor.cli import offline
from promissory.oplog import entries as e
from promissory.oplog import fold
from promissory.oplog.codec import encode_entry
from promissory.oplog.environment import Environment, Locked
from promissory.oplog.errors import BadArguments, Exists, NewerFormat, NotFound, OplogCorrupt
from promissory.oplog.ids import WorkerId, component_id
from promissory.oplog.tables import Table, WorkerRow, oplog_key, worker_id_key, worker_key

WORKER = WorkerId(component_id("approval"), "order/7")
ENTRIES = [
    e.Created(1, WORKER, 1, b"[]", {}, None, bytes(32)),
    *(e.Invoked(index, "f", b"[]", f"key-{index}", None, None, (), None) for index in range(2, 2501)),
]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one worker of 2 500 entries."""
    data = tmp_path_factory.mktemp("written") / "data"
    changes: dict[Table, dict[bytes, bytes | None]] = {table: {} for table in Table}
    row = WorkerRow(1, WORKER)
    for index, entry in enumerate(ENTRIES, 1):
        key = oplog_key(1, index)
        fold.apply(row, index, entry, None, lambda _: 1, lambda table, key, value: changes[table].update({key: value}))
        changes[Table.OPLOG][key] = encode_entry(key, entry)
    fold.refresh(row, False, lambda table, key, value: changes[table].update({key: value}))
    with Environment(data) as environment:
        environment.commit(changes)
    return data


@pytest.fixture
def damaged(written: Path, tmp_path: Path) -> Path:
    """A copy whose entry 3 cannot be read."""
    offline.backup(written, tmp_path / "damaged")
    with Environment(tmp_path / "damaged") as environment:
        environment.commit({Table.OPLOG: {oplog_key(1, 3): b"bad"}})
    return tmp_path / "damaged"


def test_verify_finds_nothing_in_sound_data(written: Path) -> None:
    """Sound data has no findings, however often it is asked."""
    assert list(offline.verify(written)) == []
    assert list(offline.verify(written)) == []


def test_verify_finds_damage(damaged: Path) -> None:
    """Damage is found, and the check may be left at the first finding."""
    assert next(offline.verify(damaged)).kind == "record"
    assert [finding.index for finding in offline.verify(damaged)] == [3]


def test_another_worker_is_not_shown_for_one(written: Path, tmp_path: Path) -> None:
    """An id that leads to a worker of another name is damage, and none of its entries is given."""
    other = WorkerId(WORKER.component_id, "order/8")
    offline.backup(written, tmp_path / "copy")
    with Environment(tmp_path / "copy") as environment:
        environment.commit({Table.WORKER_IDS: {worker_id_key(other): worker_key(1)}})

    with pytest.raises(OplogCorrupt, match="verify --repair"):
        offline.read_oplog(tmp_path / "copy", "approval", "order/8", 1)
    assert offline.repair(tmp_path / "copy") == 1
    with pytest.raises(NotFound):
        offline.read_oplog(tmp_path / "copy", "approval", "order/8", 1)


def test_repair_writes_the_tables_anew(written: Path, tmp_path: Path) -> None:
    """Lost and wrong rows are mended; a second repair finds nothing to do."""
    offline.backup(written, tmp_path / "copy")
    with Environment(tmp_path / "copy") as environment:
        environment.commit({Table.WORKERS: {worker_key(1): None}, Table.RUNNABLE: {oplog_key(1, 0): None}})

    assert offline.repair(tmp_path / "copy") == 2
    assert list(offline.verify(tmp_path / "copy")) == []
    assert offline.repair(tmp_path / "copy") == 0


def test_repair_needs_the_directory_alone(written: Path, tmp_path: Path) -> None:
    """Beside whoever has the directory repair refuses; where there is no data it makes none."""
    offline.backup(written, tmp_path / "copy")
    with Environment(tmp_path / "copy"), pytest.raises(Locked):
        offline.repair(tmp_path / "copy")
    with pytest.raises(NotFound):
        offline.repair(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_backup_is_sound_and_whole(written: Path, tmp_path: Path) -> None:
    """A backup verifies clean and gives the same entries."""
    offline.backup(written, tmp_path / "copy")

    assert list(offline.verify(tmp_path / "copy")) == []
    copied = offline.read_oplog(tmp_path / "copy", "approval", "order/7", 1)
    assert list(copied) == list(offline.read_oplog(written, "approval", "order/7", 1))


def test_a_backup_overwrites_nothing(written: Path) -> None:
    """A destination that is not empty is refused."""
    with pytest.raises(Exists, match="not empty"):
        offline.backup(written, written)


def test_oplogs_are_read_from_any_index(written: Path) -> None:
    """Entries come in order from the first one asked for, by the component's name or id."""
    read = list(offline.read_oplog(written, "approval", "order/7", 1))

    assert [shown["index"] for shown in read] == list(range(1, 2501))
    assert (read[0]["kind"], read[0]["seed"], read[1]["key"]) == ("Created", "***", "key-2")
    assert list(offline.read_oplog(written, str(WORKER).partition("/")[0], "order/7", 2499)) == read[2498:]
    assert list(offline.read_oplog(written, "approval", "order/7", -5)) == read
    assert list(offline.read_oplog(written, "approval", "order/7", 2501)) == []


def test_an_unknown_worker_is_not_found(written: Path) -> None:
    """A worker that never was is not found, and a name out of limits is refused, before anything is read."""
    for component, name in (("approval", "nobody"), ("other", "order/7")):
        with pytest.raises(NotFound, match=f"no worker {component}/"):
            offline.read_oplog(written, component, name, 1)
    with pytest.raises(BadArguments):
        offline.read_oplog(written, "approval", "", 1)


def test_a_corrupt_entry_ends_the_reading(damaged: Path) -> None:
    """What comes before a corrupt entry is given; then the error names worker and index."""
    read = offline.read_oplog(damaged, "approval", "order/7", 1)
    assert [next(read)["index"], next(read)["index"]] == [1, 2]

    with pytest.raises(OplogCorrupt, match="entry 3") as caught:
        next(read)
    assert (caught.value.worker, caught.value.index) == ("approval/order%2F7", 3)


def _verify(data: Path) -> Iterator[Any]:
    return offline.verify(data)


def _backup(data: Path) -> None:
    offline.backup(data, data.parent / "copy")


def _read(data: Path) -> Iterator[Any]:
    return offline.read_oplog(data, "approval", "order/7", 1)


@pytest.mark.parametrize("use", [_verify, _backup, _read])
def test_a_directory_without_data_is_said_to_be_one(use: Callable[[Path], object], tmp_path: Path) -> None:
    """A directory that is missing or holds no data is a clear error at once, and nothing is made there."""
    (tmp_path / "empty").mkdir()

    for data in (tmp_path / "none", tmp_path / "empty"):
        with pytest.raises(NotFound, match=f"{data} holds no promissory data"):
            use(data)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
    assert list((tmp_path / "empty").iterdir()) == []


@pytest.mark.parametrize("use", [_verify, _backup, _read])
def test_a_newer_format_is_refused(use: Callable[[Path], object], written: Path, tmp_path: Path) -> None:
    """Data of a later version is left alone."""
    offline.backup(written, tmp_path / "newer")
    with Environment(tmp_path / "newer") as environment:
        environment.commit({Table.META: {b"format": (99).to_bytes(4, "big")}})

    with pytest.raises(NewerFormat):
        use(tmp_path / "newer")


def test_all_of_it_works_beside_a_live_executor(written: Path, tmp_path: Path) -> None:
    """Another process verifies, copies and reads while this one has the data open."""
    code = (
        "import sys; from pathlib import Path; from promissory.executor.cli.offline import *;"
        "data, copy = map(Path, sys.argv[1:]);"
        "backup(data, copy); print([*verify(data), *verify(copy)], len([*read_oplog(data, 'approval', 'order/7', 1)]))"
    )
    with Environment(written):
        done = subprocess.run(
            [sys.executable, "-c", code, written, tmp_path / "copy"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stdout.strip() == "[] 2500"
