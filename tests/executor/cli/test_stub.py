"""`promissory stub`: a file that is written whole, left alone when it is up to date, and checked."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import msgspec
import pytest

import promissory
from promissory.workers.component import component_of
from tests.app import App
from tests.daemons import Daemons


class Ledger(promissory.Worker, version=2):
    @promissory.handler
    async def book(self, amount: int, note: str = "") -> int:
        return amount

    @promissory.query
    def total(self) -> int:
        return 0


def said() -> list[dict[str, Any]]:
    component = component_of(Ledger)
    handlers = [
        {"name": h.name, "kind": h.kind, "parameters": h.parameters_schema(), "result": h.result_schema()}
        for h in component.handlers.values()
    ]
    row = {"component": "ledger", "id": "0a-1", "version": 2, "ephemeral": False, "handlers": handlers}
    return [{"component": "approval", "id": "0b", "version": 1, "ephemeral": False, "handlers": []}, row]


@pytest.fixture
def written(ask: Any, peer: Any) -> Path:
    """A stub that is up to date."""
    peer.answer("component.list", {"ok": said()})
    assert ask("stub", "ledger", "-o", "stub.py").out == "wrote stub.py\n"
    return Path("stub.py")


def test_a_stub_is_written_and_works(written: Path) -> None:
    """The file is a module with a class that stands for the component; nothing else is left beside it."""
    cls = runpy.run_path(str(written))["Ledger"]

    assert component_of(cls).id == component_of(Ledger).id
    assert [*component_of(cls).handlers] == ["book", "total"]
    assert [path.name for path in Path().iterdir()] == ["stub.py"]


def test_a_component_is_named_or_identified(ask: Any, peer: Any, written: Path) -> None:
    """COMPONENT is a name or an id; `-` is the standard output."""
    assert ask("stub", "0a-1", "-o", "-").out == written.read_text()
    assert ask("stub", "ledger", "--output", "-").out == written.read_text()
    assert peer.requests[0] == {"id": 1, "op": "component.list"}


def test_an_unknown_component_is_told_what_there_is(ask: Any, peer: Any) -> None:
    """Who misspells a component sees those that are registered, and no file is made."""
    peer.answer("component.list", {"ok": said()})
    outcome = ask("stub", "leger", "-o", "stub.py")

    assert (outcome.status, outcome.out) == (3, "")
    assert outcome.err == "promissory: there is no component 'leger' (there is: approval, ledger)\n"
    assert not Path("stub.py").exists()
    peer.answer("component.list", {"ok": []})
    assert ask("stub", "leger", "-o", "stub.py").err.endswith("(there is: none)\n")


def test_a_stub_that_is_up_to_date_is_left_alone(ask: Any, written: Path) -> None:
    """Writing again changes nothing, not even the file's time; `--check` agrees."""
    os.utime(written, ns=(1, 1))

    for flags in ([], ["--check"]):
        outcome = ask("stub", "ledger", "-o", "stub.py", *flags)
        assert (outcome.status, outcome.out, outcome.err) == (0, "stub.py is up to date\n", "")
    assert written.stat().st_mtime_ns == 1


def test_check_shows_what_differs(ask: Any, peer: Any, written: Path) -> None:
    """A file that does not match fails the check, with a difference on stderr, and stays as it is."""
    before = written.read_text()
    changed = said()
    changed[1]["version"] = 3
    peer.answer("component.list", {"ok": changed})
    outcome = ask("stub", "ledger", "-o", "stub.py", "--check")

    assert (outcome.status, outcome.out) == (1, "")
    lines = outcome.err.splitlines()
    assert lines[:2] == ["--- stub.py", "+++ what is registered"]
    assert '-class Ledger(promissory.Worker, component="ledger", version=2, stub=True):' in lines
    assert '+class Ledger(promissory.Worker, component="ledger", version=3, stub=True):' in lines
    assert lines[-1] == (
        "promissory: stub.py does not match what is registered: write it with `promissory stub ledger -o stub.py`"
    )
    assert written.read_text() == before


def test_check_fails_without_a_file(ask: Any, peer: Any) -> None:
    """A missing file does not match either, and the check makes none."""
    peer.answer("component.list", {"ok": said()})
    outcome = ask("stub", "ledger", "-o", "stub.py", "--check")

    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.splitlines()[-1].startswith("promissory: stub.py is missing: write it with ")
    assert not Path("stub.py").exists()


def test_what_is_no_text_is_shown_harmlessly(ask: Any, written: Path) -> None:
    """A file of whatever bytes differs like any other, and commands no terminal."""
    written.write_bytes(b"\x1b[31m\xff\x00")
    outcome = ask("stub", "ledger", "-o", "stub.py", "--check")

    assert outcome.status == 1
    assert "-\\x1b[31m\ufffd\\x00\n" in outcome.err


def test_an_old_stub_is_replaced_where_it_is(ask: Any, written: Path) -> None:
    """The file that a link leads to is replaced, and keeps its mode."""
    current = written.read_text()
    written.write_text("old")
    written.chmod(0o640)
    Path("link.py").symlink_to("stub.py")

    assert ask("stub", "ledger", "-o", "link.py").out == "wrote link.py\n"
    assert Path("link.py").is_symlink()
    assert written.read_text() == current
    assert written.stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_written_is_one_line(ask: Any, written: Path) -> None:
    """A directory that is not there is said so; nothing is left behind."""
    outcome = ask("stub", "ledger", "-o", "missing/stub.py")

    assert (outcome.status, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert "missing" in outcome.err
    assert [path.name for path in Path().iterdir()] == ["stub.py"]


DESK = """
import promissory
from attrs import define

@define
class Paper:
    title: str
    pages: int = 1

class Desk(promissory.Worker):
    @promissory.handler
    async def read(self, paper: Paper) -> Paper:
        return paper

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

class Errand(promissory.Worker, ephemeral=True):
    @promissory.handler
    async def run(self, where: str) -> str:
        return where
"""


def test_with_a_daemon(run: Any, tmp_path: Path, daemons: Daemons) -> None:
    """What a daemon says of its components makes stubs; its invocations are cancelled once; no name is no hindrance."""
    app = App(tmp_path, daemons)
    app.write("desk", DESK)
    daemon = app.serve("desk")
    socket = ("--socket", str(daemon.socket))

    assert run("stub", "desk", "-o", "desk_stub.py", *socket).out == "wrote desk_stub.py\n"
    assert run("stub", "desk", "-o", "desk_stub.py", "--check", *socket).status == 0
    assert run("stub", "errand", "-o", "desk_stub.py", "--check", *socket).status == 1
    assert "ephemeral=True" in run("stub", "errand", "-o", "-", *socket).out
    paper = runpy.run_path("desk_stub.py")["Paper"]("t")
    read = run("invoke", "desk/1", "read", msgspec.json.encode(paper).decode(), "--json", *socket)
    assert msgspec.json.decode(read.out) == {"title": "t", "pages": 1}
    assert run("invoke", "errand", "run", '"there"', *socket).out == '"there"\n'

    invocation = run("invoke", "desk/1", "wait", "--send", *socket).out.strip()
    assert run("invocation", "cancel", invocation, *socket).out == f"cancelled {invocation}\n"
    attached = run("invocation", "attach", invocation, *socket)
    assert (attached.status, attached.out) == (1, "")
    assert run("invocation", "cancel", invocation, *socket).out == f"{invocation} had already completed\n"
    assert run("invocation", "cancel", invocation, "--json", *socket).out == "false\n"
    assert daemon.stop() == 0
