"""What every operation of the admin socket refuses: a typed error that says why, and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.desk import desk

DEEP = b"[" * 5000 + b"]" * 5000
NOBODY = "inv_1" + "A" * 38
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no operation": ({"op": "nothing"}, "not_found", "'nothing'"),
    "operation is no text": ({"op": 5}, "not_found", "5"),
    "operation is missing": ({}, "not_found", "None"),
    "a field is missing": ({"op": "invoke", "worker": "desk/a"}, "bad_arguments", "function"),
    "a field is unknown": ({"op": "status", "colour": 1}, "bad_arguments", "colour"),
    "a field's name is bytes": ({"op": "status", b"x": 1}, "bad_arguments", ""),
    "a field has another type": ({"op": "worker.show", "worker": 5}, "bad_arguments", "$.worker"),
    "params are text": (
        {"op": "invoke", "worker": "desk/a", "function": "order", "params": "[]"},
        "bad_arguments",
        "$.params",
    ),
    "a limit is negative": ({"op": "worker.list", "limit": -1}, "bad_arguments", "-1"),
    "a limit is huge": ({"op": "worker.list", "limit": 2**64 - 1, "status": "?"}, "bad_arguments", "?"),
    "no component": ({"op": "invoke", "worker": "nobody/a", "function": "f"}, "not_found", "nobody"),
    "no function": ({"op": "invoke", "worker": "desk/a", "function": "f"}, "not_found", "'f'"),
    "no path": ({"op": "invoke", "worker": "desk", "function": "order"}, "bad_arguments", "COMPONENT/NAME"),
    "a name in capitals": ({"op": "worker.show", "worker": "Desk/a"}, "bad_arguments", "Desk"),
    "an empty name": ({"op": "invoke", "worker": "desk/", "function": "order"}, "bad_arguments", "empty"),
    "a long name": ({"op": "invoke", "worker": "desk/" + "n" * 257, "function": "wait"}, "bad_arguments", "257"),
    "a huge name": ({"op": "invoke", "worker": "desk/" + "n" * 10**6, "function": "wait"}, "bad_arguments", "1000000"),
    "a control character": ({"op": "invoke", "worker": "desk/a\x00", "function": "wait"}, "bad_arguments", "control"),
    "a bad escape": ({"op": "invoke", "worker": "desk/%2f", "function": "wait"}, "bad_arguments", "%2F"),
    "an argument of another type": (
        {"op": "invoke", "worker": "desk/a", "function": "order", "params": b'[[{"name": "x"}, {"name": 5}]]'},
        "bad_arguments",
        "$.items[1].name",
    ),
    "an unknown argument": (
        {"op": "invoke", "worker": "desk/a", "function": "order", "params": b'{"items": [], "colour": 1}'},
        "bad_arguments",
        "colour",
    ),
    "a missing argument": ({"op": "invoke", "worker": "desk/a", "function": "order"}, "bad_arguments", "items"),
    "too many arguments": (
        {"op": "invoke", "worker": "desk/a", "function": "wait", "params": b"[1]"},
        "bad_arguments",
        "",
    ),
    "no JSON": ({"op": "invoke", "worker": "desk/a", "function": "wait", "params": b"{"}, "bad_arguments", ""),
    "bad UTF-8": (
        {"op": "invoke", "worker": "desk/a", "function": "fail", "params": b'["\xff"]'},
        "bad_arguments",
        "",
    ),
    "half a surrogate": (
        {"op": "invoke", "worker": "desk/a", "function": "fail", "params": b'["\\ud800"]'},
        "bad_arguments",
        "",
    ),
    "too much": (
        {"op": "invoke", "worker": "desk/a", "function": "fail", "params": b'["' + b"x" * 1000 + b'"]'},
        "limit_reached",
        "1000",
    ),
    "deep arguments of a query": (
        {"op": "query", "worker": "desk/a", "function": "notes", "params": DEEP},
        "bad_arguments",
        "",
    ),
    "an empty key": (
        {"op": "invoke", "worker": "desk/a", "function": "wait", "key": ""},
        "limit_reached",
        "key",
    ),
    "a long key": (
        {"op": "invoke", "worker": "desk/a", "function": "wait", "key": "k" * 257},
        "limit_reached",
        "257",
    ),
    "a negative delay": (
        {"op": "invoke", "worker": "desk/a", "function": "wait", "delay_us": -1},
        "bad_arguments",
        "delay",
    ),
    "a delay of ages": (
        {"op": "invoke", "worker": "desk/a", "function": "wait", "delay_us": 2**63},
        "bad_arguments",
        "",
    ),
    "sending a query": (
        {"op": "invoke", "worker": "desk/a", "function": "notes", "send": True},
        "bad_arguments",
        "query",
    ),
    "a key for a query": (
        {"op": "invoke", "worker": "desk/a", "function": "notes", "key": "k"},
        "bad_arguments",
        "query",
    ),
    "querying a handler": ({"op": "query", "worker": "desk/a", "function": "wait"}, "bad_arguments", "handler"),
    "a query's argument": (
        {"op": "query", "worker": "desk/a", "function": "notes", "params": b'["x"]'},
        "bad_arguments",
        "first",
    ),
    "invoking what must be created": (
        {"op": "query", "worker": "safe/a", "function": "content"},
        "bad_arguments",
        "create",
    ),
    "no invocation id": ({"op": "invocation.attach", "invocation": "inv_1?"}, "bad_arguments", "inv_1?"),
    "no invocation": ({"op": "invocation.show", "invocation": NOBODY}, "bad_arguments", ""),
    "no such status": ({"op": "invocation.list", "status": "gone"}, "bad_arguments", "gone"),
    "no such worker's invocations": ({"op": "invocation.list", "worker": "desk/x"}, "not_found", "desk/x"),
    "no promise": ({"op": "promise.await", "promise": "desk/a/3"}, "not_found", "desk/a/3"),
    "no promise id": ({"op": "promise.await", "promise": "desk/a"}, "bad_arguments", "desk/a"),
    "promise 0": ({"op": "promise.show", "promise": "desk/a/0"}, "bad_arguments", "0"),
    "promise 01": ({"op": "promise.show", "promise": "desk/a/01"}, "bad_arguments", "01"),
    "a promise beyond all": ({"op": "promise.show", "promise": "desk/a/" + "9" * 5000}, "bad_arguments", ""),
    "a promise in other digits": ({"op": "promise.show", "promise": "desk/a/\u0663"}, "bad_arguments", ""),
    "completing nothing": ({"op": "promise.complete", "promise": "desk/a/3", "data": b""}, "not_found", "desk/a/3"),
    "completing with text": ({"op": "promise.complete", "promise": "desk/a/3", "data": "x"}, "bad_arguments", "$.data"),
    "completing with much": (
        {"op": "promise.complete", "promise": "desk/a/3", "data": b"x" * 1001},
        "limit_reached",
        "1001",
    ),
    "rejecting with much": (
        {"op": "promise.reject", "promise": "desk/a/3", "message": "\u20ac" * 400},
        "limit_reached",
        "",
    ),
    "deleting no promise": ({"op": "promise.delete", "promise": "desk/a/3"}, "not_found", "desk/a/3"),
    "no promise state": ({"op": "promise.list", "state": "?"}, "bad_arguments", "?"),
    "creating without arguments": ({"op": "worker.create", "worker": "safe/a"}, "bad_arguments", "secret"),
    "creating with others": (
        {"op": "worker.create", "worker": "safe/a", "args": b'["s", "many"]'},
        "bad_arguments",
        "$.size",
    ),
    "creating with too much": (
        {"op": "worker.create", "worker": "safe/a", "args": b'["' + b"x" * 1000 + b'"]'},
        "limit_reached",
        "1000",
    ),
    "too large an environment": (
        {"op": "worker.create", "worker": "desk/a", "env": {"X": "x" * 1001}},
        "limit_reached",
        "",
    ),
    "environment of numbers": ({"op": "worker.create", "worker": "desk/a", "env": {"X": 1}}, "bad_arguments", "$.env"),
    "no worker": ({"op": "worker.show", "worker": "desk/a"}, "not_found", "desk/a"),
    "deleting no worker": ({"op": "worker.delete", "worker": "desk/a"}, "not_found", "desk/a"),
    "interrupting no worker": ({"op": "worker.interrupt", "worker": "desk/a"}, "not_found", "desk/a"),
    "resuming no worker": ({"op": "worker.resume", "worker": "desk/a"}, "not_found", "desk/a"),
    "resuming nothing": ({"op": "worker.resume"}, "bad_arguments", "all"),
    "no worker status": ({"op": "worker.list", "status": "?"}, "bad_arguments", "?"),
    "no component name": ({"op": "worker.list", "component": "A B"}, "bad_arguments", "A B"),
    "no oplog": ({"op": "oplog.read", "worker": "desk/a"}, "not_found", "desk/a"),
    "no oplog to follow": ({"op": "oplog.follow", "worker": "desk/a"}, "not_found", "desk/a"),
    "an index out of range": ({"op": "oplog.read", "worker": "desk/a", "from": 2**64 - 1}, "bad_arguments", ""),
    "no module": ({"op": "component.register", "modules": ["no.such"], "directory": "/"}, "bad_arguments", "no.such"),
    "modules are text": ({"op": "component.register", "modules": "x", "directory": "/"}, "bad_arguments", "$.modules"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_and_nothing_written(tmp_path: Path, name: str) -> None:
    """A request that cannot be done is refused with a typed error that says why; nothing is written."""
    fields, code, says = REFUSED[name]
    async with desk(tmp_path) as client:
        await client.send({"id": 1, **fields})
        error = (await client.answer(1))["error"]
        assert (error["code"], client.entries()) == (code, 0), error
        assert says in error["message"] + str(error.get("expected", "")), error
        assert len(error["message"]) < 10_000
        assert "internal error" not in error["message"]
        assert "ok" in await client.ask("status")


async def test_refused_for_a_worker_that_is(tmp_path: Path) -> None:
    """A worker that exists is not created again; what is no promise of its is not settled; nothing is written."""
    async with desk(tmp_path) as client:
        await client.call("desk/a", "order", [])
        before = client.entries()
        assert (await client.refusal("worker.create", worker="desk/a"))["code"] == "exists"
        for index in (1, 2, 3, 4, 99, 2**63 - 1):
            refused = await client.refusal("promise.complete", promise=f"desk/a/{index}", data=b"")
            assert refused["code"] == "not_found"
            assert (await client.refusal("promise.await", promise=f"desk/a/{index}"))["code"] == "not_found"
        for by in ("", "x" * 257):
            assert "error" in await client.ask("promise.complete", promise="desk/a/3", data=b"", by=by)
        for index in (-1, 2**63):
            for op in ("oplog.read", "oplog.follow"):
                assert (await client.refusal(op, worker="desk/a", **{"from": index}))["code"] == "bad_arguments"
        assert client.entries() == before
