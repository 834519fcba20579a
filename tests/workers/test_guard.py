"""What handlers and queries must not do is refused where they do it, and counts even if they catch it."""

from __future__ import annotations

import asyncio
import datetime
import gc
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest

import promissory
from promissory.oplog.errors import NonDeterminismError
from promissory.workers import guard
from promissory.workers.component import component_of
from promissory.workers.machine.step import StepFailed


def read_file() -> None:
    with Path("/etc/hostname").open() as file:
        file.read()


def write_source() -> None:
    with Path("/tmp/promissory-guard.py").open("w"):
        pass


def os_open() -> None:
    os.open("/etc/hostname", os.O_RDONLY)


def list_directory() -> None:
    os.listdir("/")  # noqa: PTH208


def open_socket() -> None:
    socket.socket().close()


def connect() -> None:
    socket.create_connection(("localhost", 1))


def resolve() -> None:
    socket.getaddrinfo("localhost", 1)


def start_subprocess() -> None:
    subprocess.run(["true"], check=True)


def system() -> None:
    os.system("true")


def fork() -> None:
    os.fork()


def start_thread() -> None:
    threading.Thread(target=print).start()


def open_database() -> None:
    sqlite3.connect(":memory:")


FORBIDDEN = [
    read_file,
    write_source,
    os_open,
    list_directory,
    open_socket,
    connect,
    resolve,
    start_subprocess,
    system,
    fork,
    start_thread,
    open_database,
]


class Finalized:
    itself: Any = None
    refused = False

    def __del__(self) -> None:
        read_file()
        try:
            promissory.create_promise()
        except RuntimeError:
            Finalized.refused = True


class Guarded(promissory.Worker):
    n: int = 0

    @promissory.handler
    async def go(self, what: str) -> None:
        globals()[what]()

    @promissory.handler
    async def catch(self, what: str) -> str:
        try:
            globals()[what]()
        except BaseException:
            await promissory.sleep(1)
        return "caught"

    @promissory.handler
    async def awaits(self, what: str) -> None:
        if what == "asyncio":
            await asyncio.sleep(1)
        elif what == "yield":
            await asyncio.sleep(0)
        else:
            await _foreign

    @promissory.handler
    async def keep(self) -> None:
        global _foreign
        _foreign = promissory.sleep(1)
        await promissory.sleep(2)

    @promissory.handler
    async def allowed(self) -> list[str]:
        sys.modules.pop("this_is_not_loaded", None)
        sys.modules.pop("colorsys", None)
        import colorsys
        import zoneinfo

        zoneinfo.ZoneInfo.clear_cache()
        zone = zoneinfo.ZoneInfo("Europe/Lisbon")
        there = datetime.datetime.strptime("2020-02-02", "%Y-%m-%d").replace(tzinfo=zone)
        try:
            raise ValueError("shown")
        except ValueError:
            text = traceback.format_exc()
        return [colorsys.__name__, str(there.utcoffset()), text.splitlines()[-1]]

    @promissory.handler
    async def collect(self) -> bool:
        garbage = Finalized()
        garbage.itself = garbage
        del garbage
        gc.collect()
        promissory.create_promise()
        return Finalized.refused

    @promissory.query
    def look(self, what: str) -> None:
        globals()[what]()

    @promissory.query
    def change(self) -> None:
        self.n = 3

    @promissory.query
    def ask(self) -> None:
        promissory.create_promise()

    @promissory.query
    def value(self) -> int:
        return self.n


_foreign: Any = None


@pytest.mark.parametrize("what", FORBIDDEN)
@pytest.mark.parametrize("function", ["go", "catch"])
def test_reaching_past_the_host_fails_the_step(make_host: Any, function: str, what: Any) -> None:
    """The error names the handler and the cure, whether the handler lets it pass or catches it."""
    h = make_host(Guarded)
    with pytest.raises(StepFailed) as caught:
        h.invoke(function, what.__name__)
    cause = caught.value.cause
    assert isinstance(cause, NonDeterminismError)
    assert str(cause).startswith(f"handler `{function}` of `guarded` ")
    assert str(cause).endswith(": wrap it in `run`")


@pytest.mark.parametrize("what", ["asyncio", "yield"])
def test_awaiting_what_is_not_ours_fails_the_step(make_host: Any, what: str) -> None:
    """Neither another library's awaitable nor a bare yield is something the record could settle."""
    h = make_host(Guarded)
    with pytest.raises(StepFailed) as caught:
        h.invoke("awaits", what)
    assert isinstance(caught.value.cause, NonDeterminismError)


def test_a_future_of_another_invocation_cannot_be_awaited(make_host: Any) -> None:
    """A future that was kept somewhere is worth nothing to others."""
    h = make_host(Guarded)
    h.invoke("keep")
    h.end(4)
    with pytest.raises(StepFailed):
        h.invoke("awaits", "foreign")


def test_python_may_read_its_own_files(host: Any) -> None:
    """Imports, time zones, strptime and tracebacks work as everywhere."""
    h = host(Guarded)
    assert h.outcome(h.invoke("allowed")) == ["colorsys", "0:00:00", "ValueError: shown"]


def test_what_is_collected_during_a_step_is_not_the_handlers_doing(host: Any) -> None:
    """A finalizer may read files, and gets no host functions: when it runs is chance."""
    h = host(Guarded)
    assert h.outcome(h.invoke("collect")) is True
    assert len(h.calls()) == 1


def test_nothing_is_watched_outside_of_a_step(make_host: Any) -> None:
    """The same calls are free to everybody else, in the same thread."""
    h = make_host(Guarded)
    h.invoke("allowed")
    read_file()
    open_socket()
    start = threading.Thread(target=list_directory)
    start.start()
    start.join()


@pytest.mark.parametrize("what", FORBIDDEN)
def test_queries_are_guarded_as_well(make_host: Any, what: Any) -> None:
    """A query that reaches outside would answer something else tomorrow."""
    h = make_host(Guarded)
    with pytest.raises(NonDeterminismError, match=r"query `look` of `guarded` .*: wrap it in `run`"):
        h.player.query("look", b'["%s"]' % what.__name__.encode())


def test_a_query_can_neither_set_nor_ask(make_host: Any) -> None:
    """A query only reads."""
    h = make_host(Guarded)
    with pytest.raises(AttributeError, match="read-only"):
        h.player.query("change", b"[]")
    with pytest.raises(RuntimeError, match="cannot use this function"):
        h.player.query("ask", b"[]")
    assert h.player.query("value", b"[]") == b"0"


def test_host_functions_outside_of_a_step_raise() -> None:
    """There is no host to ask, so nothing can be recorded."""
    with pytest.raises(RuntimeError, match="outside of a handler"):
        promissory.create_promise()


def test_violation_belongs_to_the_step_of_its_thread(make_host: Any) -> None:
    """What the host finds out itself counts for the handler that is stepped; outside it is just an error."""

    class Hiding:
        def __call__(self, function: Any) -> Any:
            return function()

    assert str(guard.violation("opens a nursery")) == "opens a nursery"
    h = make_host(Guarded, step_in=Hiding())
    with pytest.raises(StepFailed) as caught:
        h.invoke("catch", "host_violation")
    assert str(caught.value.cause) == "handler `catch` of `guarded` opens a nursery: wrap it in `run`"


def host_violation() -> None:
    raise guard.violation("opens a nursery")


class Reading(promissory.Worker):
    def __attrs_post_init__(self) -> None:
        read_file()


def test_constructors_are_guarded() -> None:
    """A worker is made of its arguments and nothing else."""
    with pytest.raises(NonDeterminismError, match="constructor of `reading` opens a file"):
        component_of(Reading).construct(b"[]")


def test_import_of_workers_brings_neither_trio_nor_lmdb_nor_asyncio() -> None:
    """The guest side is pure: what a worker author imports loads no event loop and no store."""
    heavy = ("trio", "lmdb", "asyncio", "anyio")
    code = f"import sys, promissory; promissory.run; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": "."}
    )
    assert result.stdout == "[]\n"
