"""`promissory oplog`, `verify`, `backup`, `serve`: what reads the file itself, and what becomes the daemon."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from promissory.executor.protocol.frames import encode_frame
from promissory.oplog.errors import NotFound, StoreFailed

ENTRIES: list[dict[str, Any]] = [
    {"index": 1, "kind": "Created", "timestamp": "2026-01-02T03:04:05.000006Z", "args": b"[]", "seed": "***"},
    {"index": 2, "kind": "Invoked", "timestamp": "2026-01-02T03:04:06Z", "function": "f", "params": b"[1]", "key": "k"},
    {
        "index": 3,
        "kind": "Errored",
        "timestamp": "1970-01-01T00:00:00.000000Z",
        "error": "x" * 300,
        "traceback": "many\nlines",
    },
]


@dataclass(frozen=True)
class Finding:
    kind: str
    worker: str | None
    index: int | None

    def __str__(self) -> str:
        return f"{self.kind} at {self.worker}/{self.index}"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """A stand-in for what reads the data directory, and the directory."""
    (tmp_path / "promissory-data").mkdir()
    module = ModuleType("promissory.executor.cli.offline")
    monkeypatch.setitem(sys.modules, "promissory.executor.cli.offline", module)
    return module


def test_an_oplog_is_one_object_a_line(run: Any, offline: Any) -> None:
    """`--json` prints index, kind, timestamp and the entry's fields, a line each, without an executor."""
    asked: list[tuple[object, ...]] = []

    def read_oplog(*arguments: object) -> Iterator[dict[str, Any]]:
        asked.append(arguments)
        yield from ENTRIES

    offline.read_oplog = read_oplog
    outcome = run("oplog", "approval/a%2Fb", "--from", "2", "--json")

    assert asked == [(Path("promissory-data"), "approval", "a/b", 2)]
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert lines[0] == {
        "index": 1,
        "kind": "Created",
        "timestamp": "2026-01-02T03:04:05.000006Z",
        "args": "W10=",
        "seed": "***",
    }
    assert [line["index"] for line in lines] == [1, 2, 3]


def test_people_get_an_entry_a_line(run: Any, offline: Any) -> None:
    """For people values are text, long ones cut, and tracebacks left out."""
    offline.read_oplog = lambda *_: iter(ENTRIES)
    created, invoked, errored = run("oplog", "approval/b").out.splitlines()

    assert created.split() == ["1", "2026-01-02T03:04:05.000006Z", "Created", "args=[]", "seed=***"]
    assert invoked.split() == ["2", "2026-01-02T03:04:06Z", "Invoked", "function=f", "params=[1]", "key=k"]
    assert errored.endswith("x…")
    assert "many" not in errored


def test_an_oplog_may_be_cut(run: Any, offline: Any) -> None:
    """`--limit` says on stderr when there is more, and nothing when there is not."""
    offline.read_oplog = lambda *_: iter(ENTRIES)
    outcome = run("oplog", "approval/b", "--limit", "2")

    assert outcome.out.count("\n") == 2
    assert outcome.err == "promissory: there are more than these 2: see --limit\n"
    assert run("oplog", "approval/b", "--limit", "3").err == ""


def test_a_worker_that_is_none_is_told(run: Any, offline: Any) -> None:
    """A malformed name and an unknown worker are each one line on stderr."""

    def read_oplog(*_: object) -> Iterator[dict[str, Any]]:
        raise NotFound("there is no worker approval/b")

    offline.read_oplog = read_oplog

    assert run("oplog", "approval").err == "promissory: 'approval' is not of the form COMPONENT/NAME\n"
    assert run("oplog", "approval/b").err == "promissory: there is no worker approval/b\n"


def test_follow_streams_from_the_executor_until_ctrl_c(ask: Any, peer: Any) -> None:
    """`--follow` prints entries as they come, over the socket; Ctrl-C is how it is meant to end."""

    def interrupt(connection: socket.socket) -> None:
        # More than the socket holds, so that by the time it is sent the items before it have been read.
        connection.sendall(encode_frame({"id": 1, "item": {**ENTRIES[1], "params": b"x" * 4_000_000}}))
        os.kill(os.getpid(), signal.SIGINT)

    peer.answer("oplog.follow", *({"item": entry} for entry in ENTRIES))
    peer.afterwards = interrupt
    outcome = ask("oplog", "approval/b", "--follow", "--from", "1")

    assert (outcome.status, outcome.err) == (0, "")
    assert [line.split()[2] for line in outcome.out.splitlines()][:3] == ["Created", "Invoked", "Errored"]
    assert peer.requests[0] == {"id": 1, "op": "oplog.follow", "worker": "approval/b", "from": 1}


def test_follow_may_end_by_itself(ask: Any, peer: Any) -> None:
    """`--follow --limit` ends after that many entries, for scripts that wait for the next one."""
    peer.answer("oplog.follow", *({"item": entry} for entry in ENTRIES))
    outcome = ask("oplog", "approval/b", "--follow", "--limit", "2", "--json")

    assert [json.loads(line)["index"] for line in outcome.out.splitlines()] == [1, 2]


def test_verify_prints_its_findings_and_fails(run: Any, offline: Any) -> None:
    """A data directory with findings is status 1; each is a line, or an object of the array."""
    offline.verify = lambda _: iter([Finding("gap", "approval/b", 7), Finding("row", None, None)])
    outcome = run("verify")

    assert outcome.status == 1
    assert outcome.out == "gap at approval/b/7\nrow at None/None\n"
    assert outcome.err == "promissory: promissory-data has 2 findings\n"
    outcome = run("verify", "--json")
    assert outcome.status == 1
    assert json.loads(outcome.out)[0] == {
        "kind": "gap",
        "worker": "approval/b",
        "index": 7,
        "message": "gap at approval/b/7",
    }


def test_verify_of_a_sound_directory_is_status_0(run: Any, offline: Any) -> None:
    """Without findings, verify says so."""
    offline.verify = lambda _: iter([])

    assert (run("verify").status, run("verify").out) == (0, "no findings\n")
    assert run("verify", "--json").out == "[]\n"


def test_backup(run: Any, offline: Any) -> None:
    """`backup` copies the data directory, and what prevents it is one line on stderr."""
    copied: list[tuple[Path, Path]] = []
    offline.backup = lambda data, destination: copied.append((data, destination))
    outcome = run("backup", "copy")

    assert (outcome.status, outcome.out) == (0, "promissory-data is copied to copy\n")
    assert copied == [(Path("promissory-data"), Path("copy"))]

    def fail(*_: object) -> None:
        raise StoreFailed("disk full")

    offline.backup = fail
    assert (run("backup", "copy").status, run("backup", "copy").err) == (7, "promissory: disk full\n")


def test_serve_hands_over_to_the_daemon(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`serve` passes what was given and ends with the daemon's status; HTTP is on unless `--no-http` is given."""
    calls: list[dict[str, Any]] = []

    def daemon_run(**options: Any) -> int:
        calls.append(options)
        return 1 if options["modules"] else 0

    module: Any = ModuleType("promissory.executor.server.daemon")
    module.run = daemon_run
    monkeypatch.setitem(sys.modules, "promissory.executor.server.daemon", module)
    (tmp_path / "p.toml").touch()
    given = ["--data", "d", "--socket", "s", "--no-http", "--config", "p.toml", "--log-level", "DEBUG"]

    assert run("serve").status == 0
    assert run("serve", "examples.approval", "shop:Cart", *given).status == 1
    assert calls[0] == {
        "modules": [],
        "data": Path("promissory-data"),
        "socket": None,
        "http": "127.0.0.1:8080",
        "token": None,
        "config": None,
        "log_level": None,
    }
    assert calls[1] == {
        "modules": ["examples.approval", "shop:Cart"],
        "data": Path("d"),
        "socket": Path("s"),
        "http": None,
        "token": None,
        "config": Path("p.toml"),
        "log_level": "debug",
    }
