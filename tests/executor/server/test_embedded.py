"""`promissory.open`: the same executor in one's own trio program, with the same methods as the client."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import promissory
from promissory.executor.client import Client, Disconnected
from promissory.executor.server.embedded import Embedded
from promissory.oplog.check import check
from promissory.oplog.environment import Environment, Locked
from promissory.oplog.errors import BadHandler, NotFound

pytestmark = pytest.mark.filterwarnings("ignore:PYTHONHASHSEED:RuntimeWarning")


class Echo(promissory.Worker):
    count: int = 0

    @promissory.handler
    async def echo(self, text: str) -> str:
        self.count += 1
        return text

    @promissory.handler
    async def wait(self) -> str:
        return (await promissory.await_promise(promissory.create_promise())).decode()

    @promissory.query
    def counted(self) -> int:
        return self.count


async def test_a_program_of_ones_own_runs_workers(tmp_path: Path) -> None:
    """Invoking, querying, promises and lists work as on a client; a second run finds what the first left."""
    async with promissory.open(tmp_path, components=[Echo]) as client:
        assert await client.invoke("worker://echo/1", "echo", "hello") == "hello"
        invocation = await client.send("worker://echo/2", "wait")
        with trio.fail_after(10):
            async with client.stream("oplog.follow", worker="echo/2") as entries:
                async for entry in entries:
                    if entry["kind"] == "Started":
                        promise = f"echo/2/{entry['index']}"
                        break

    async with promissory.open(str(tmp_path), components=[Echo]) as client:
        assert await client.query("worker://echo/1", "counted") == 1
        assert [row["worker"] async for row in client.stream("worker.list")] == ["echo/1", "echo/2"]
        assert await client.complete_promise(promise, b"done") is True
        with trio.fail_after(10):
            assert await client.attach(invocation) == "done"
    with Environment(tmp_path, readonly=True) as environment:
        assert list(check(environment)) == []


def test_it_has_the_methods_of_the_client() -> None:
    """Whatever a client can be asked, the embedded executor can, with the same arguments."""
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name.startswith("_") or name == "close_streams":
            continue
        ours = getattr(Embedded, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(method).parameters), name


async def test_errors_are_those_of_the_client(tmp_path: Path) -> None:
    """Errors come as they would over a socket, and what the body raises comes out as it is."""
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the body is what is tested
        async with promissory.open(tmp_path, components=[Echo]) as client:
            with pytest.raises(NotFound):
                await client.invoke("worker://nothing/1", "echo", "x")
            with pytest.raises(NotFound):
                async for _ in client.stream("oplog.read", worker="echo/nobody"):
                    pass
            raise ZeroDivisionError

    with pytest.raises(Disconnected):
        await client.invoke("worker://echo/1", "echo", "x")


async def test_a_bad_class_and_a_taken_directory_are_said(tmp_path: Path) -> None:
    """A class that cannot be served, and a directory in use, are errors of `open` itself."""

    class Bad(promissory.Worker):
        @promissory.handler  # type: ignore[type-var]
        def sync(self) -> None:
            return None

    with pytest.raises(BadHandler):
        async with promissory.open(tmp_path, components=[Bad]):
            pass
    async with promissory.open(tmp_path, components=[Echo]):
        with pytest.raises(Locked):
            async with promissory.open(tmp_path):
                pass


async def test_cancelling_the_program_stops_the_executor_in_order(tmp_path: Path) -> None:
    """A cancelled program ends its executor in order: everything appended is committed, the end is a clean one."""
    with trio.CancelScope() as scope:
        async with promissory.open(tmp_path, components=[Echo]) as client:
            await client.invoke("worker://echo/1", "echo", "x")
            scope.cancel()
            await trio.sleep_forever()

    assert scope.cancelled_caught
    async with promissory.open(tmp_path, components=[Echo]) as client:
        assert client.executor.recovery.unclean_count == 0


async def test_a_waiting_request_can_be_cancelled(tmp_path: Path) -> None:
    """Cancelling a wait ends only the wait: the invocation goes on, and nothing is kept for who is gone."""
    async with promissory.open(tmp_path, components=[Echo]) as client:
        announced: list[str] = []
        with trio.CancelScope() as scope:

            def announce(invocation: str) -> None:
                announced.append(invocation)
                scope.cancel()

            await client.invoke("worker://echo/1", "wait", announce=announce)
        assert scope.cancelled_caught
        assert client.executor.watchers.count() == 0
        shown: dict[str, Any] = await client.request("invocation.show", invocation=announced[0])
        assert shown["status"] in ("running", "pending")


def test_open_warns_about_random_hashes() -> None:
    """Without PYTHONHASHSEED=0 `open` warns that sets of strings will not replay."""
    code = (
        "import tempfile, trio, promissory\n"
        "async def main():\n"
        "    async with promissory.open(tempfile.mkdtemp()): pass\n"
        "trio.run(main)\n"
    )
    for seed, warns in (("1", True), ("0", False)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert ("PYTHONHASHSEED" in done.stderr) is warns
