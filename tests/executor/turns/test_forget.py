"""Requests that are forgotten: a client that shares a connection no longer waits for one of its answers."""

from __future__ import annotations

from pathlib import Path

import promissory
from promissory.executor.config import Config
from tests.admin import raw, serving


class Sleeper(promissory.Worker):
    @promissory.handler
    async def wait(self, name: str) -> str:
        return str(await promissory.durable_promise(name, str).get())


async def test_a_forgotten_wait_is_dropped_and_what_it_asked_for_goes_on(tmp_path: Path) -> None:
    """After `forget` nobody watches for the answer and none is sent; the invocation ends all the same."""
    async with serving(tmp_path, [Sleeper], Config(requests_in_flight_max=1)) as (executor, path), raw(path) as client:
        call = {"op": "invoke", "worker": "sleeper/a", "function": "wait", "params": b'["p"]', "announce": True}
        await client.send({"id": 100, **call})
        announced = await client.receive()
        assert announced is not None
        assert executor.watchers.count() == 1

        assert (await client.ask("forget", request=100))["ok"] == {"forgotten": True}
        assert executor.watchers.count() == 0
        assert (await client.ask("forget", request=100))["ok"] == {"forgotten": False}
        for request in (99, "100", None, True):
            assert (await client.ask("forget", request=request))["ok"] == {"forgotten": False}

        assert (await client.ask("promise.complete", promise="name:p", data=b'"yes"'))["ok"]["settled"]
        ended = await client.ask("invocation.attach", invocation=announced["item"]["invocation"])
        assert ended["ok"]["result"] == b'"yes"'


async def test_a_forgotten_stream_ends(tmp_path: Path) -> None:
    """A stream that is forgotten sends nothing more, and its place on the connection is free."""
    async with serving(tmp_path, [Sleeper], Config(requests_in_flight_max=1)) as (_, path), raw(path) as client:
        await client.ask("worker.create", worker="sleeper/b")
        await client.send({"id": 700, "op": "oplog.follow", "worker": "sleeper/b"})
        first = await client.receive()
        assert first is not None
        assert first["item"]["kind"] == "Created"

        assert (await client.ask("forget", request=700))["ok"] == {"forgotten": True}
        assert "ok" in await client.ask("invoke", worker="sleeper/b", function="wait", params=b'["q"]', send=True)
        assert "ok" in await client.ask("status")
