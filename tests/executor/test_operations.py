"""Every operation of the admin socket: what it does, and what it refuses, with nothing written."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio.testing
from attrs import define, field

import workers
from executor.config import Config
from executor.core import Executor
from executor.offline import verify
from tests.admin import RawClient, raw, serving


@define
class Item:
    name: str
    count: int = 1


class Desk(workers.Worker):
    """Does one of everything."""

    seen: list[str] = field(factory=list)

    @workers.handler
    async def order(self, items: list[Item], note: str = "") -> int:
        self.seen.append(note)
        return sum(item.count for item in items)

    @workers.handler
    async def wait(self) -> str:
        return (await workers.await_promise(workers.create_promise())).decode()

    @workers.handler
    async def fail(self, message: str) -> None:
        raise workers.TerminalError(message, 418)

    @workers.handler
    async def unmended(self) -> None:
        raise ValueError("not mended")

    @workers.handler
    async def name(self) -> dict[str, str]:
        return dict(workers.environment())

    @workers.query
    def notes(self, first: int = 0) -> list[str]:
        return self.seen[first:]

    @workers.query
    def broken(self) -> list[str]:
        raise ValueError("no answer")


class Safe(workers.Worker):
    """Has to be created with what it keeps."""

    secret: str
    size: int = 1

    @workers.query
    def content(self) -> list[str]:
        return [self.secret] * self.size


LIMITS = Config(payload_bytes_max=1000, retry_attempts_max=1)
CLASSES = [Desk, Safe]


class Asked(RawClient):
    """A client whose every answer is either a value or a refusal."""

    executor: Executor

    async def value(self, op: str, **fields: Any) -> Any:
        answer = await self.ask(op, **fields)
        assert "ok" in answer, answer
        return answer["ok"]

    async def refusal(self, op: str, **fields: Any) -> dict[str, Any]:
        answer = await self.ask(op, **fields)
        assert "error" in answer, answer
        return answer["error"]

    async def items(self, op: str, **fields: Any) -> tuple[list[dict[str, Any]], Any]:
        """Return the items of a stream and what it ends with."""
        self._next_id += 1
        await self.send({"id": self._next_id, "op": op, **fields})
        found = []
        while True:
            message = await self.receive()
            assert message is not None
            if "item" not in message:
                return found, message["ok"]
            found.append(message["item"])

    async def call(self, worker: str, function: str, *args: Any, **fields: Any) -> Any:
        answer = await self.value("invoke", worker=worker, function=function, params=json(args), **fields)
        return msgspec.json.decode(answer["result"])

    async def waiting(self, name: str) -> tuple[str, str]:
        """Have a desk wait; return its invocation and its promise."""
        sent = await self.value("invoke", worker=f"desk/{name}", function="wait", send=True)
        await self.value("query", worker=f"desk/{name}", function="notes")
        return sent["invocation"], f"desk/{name}/3"

    def entries(self) -> int:
        return self.executor.record.entries_total + self.executor.record.batch.entries_count


def json(value: Any) -> bytes:
    return msgspec.json.encode(value)


@asynccontextmanager
async def desk(directory: Path) -> AsyncIterator[Asked]:
    async with serving(directory, CLASSES, LIMITS) as (executor, path), raw(path) as client:
        client.__class__ = Asked
        assert isinstance(client, Asked)
        client.executor = executor
        yield client


# Invocations.


async def test_invoke(tmp_path: Path) -> None:
    """`invoke` calls a handler, with positional arguments or arguments by name, and gives its result."""
    async with desk(tmp_path) as client:
        assert await client.call("desk/a", "order", [{"name": "tea", "count": 3}, {"name": "cup"}]) == 4
        by_name = json({"note": "by name", "items": []})
        answer = await client.value("invoke", worker="desk/a", function="order", params=by_name)
        assert answer["result"] == b"0"
        assert answer["invocation"].startswith("inv_1")
        assert await client.call("desk/a", "notes") == ["", "by name"]


async def test_invoke_with_a_key(tmp_path: Path) -> None:
    """A key is executed once; who comes again gets the outcome, or joins; another function has keys of its own."""
    async with desk(tmp_path) as client:
        first = await client.value("invoke", worker="desk/a", function="order", params=b'[[],"x"]', key="k")
        again = await client.value("invoke", worker="desk/a", function="order", params=b'[[],"y"]', key="k")
        assert first == again
        assert await client.call("desk/a", "notes") == ["x"]
        sent = {"worker": "desk/a", "function": "wait", "key": "k", "send": True}
        assert (await client.value("invoke", **sent))["status"] == "accepted"
        assert (await client.value("invoke", **sent))["status"] == "previously-accepted"


async def test_invoke_later(tmp_path: Path) -> None:
    """A delayed invocation is scheduled, and begins when it is due."""
    async with desk(tmp_path) as client:
        late = await client.value(
            "invoke", worker="desk/a", function="order", params=b"[[]]", delay_us=10**12, send=True
        )
        shown = await client.value("invocation.show", invocation=late["invocation"])
        assert shown["status"] == "scheduled"
        soon = await client.value("invoke", worker="desk/a", function="order", params=b"[[]]", delay_us=1000)
        assert soon["result"] == b"0"


async def test_outcomes_that_are_errors(tmp_path: Path) -> None:
    """A terminal error comes with its kind, message, status and invocation; a paused worker is told of at once."""
    async with desk(tmp_path) as client:
        failed = await client.refusal("invoke", worker="desk/a", function="fail", params=b'["no more tea"]')
        assert (failed["code"], failed["message"], failed["status"]) == ("terminal", "no more tea", 418)
        again = await client.refusal("invocation.attach", invocation=failed["invocation"])
        assert again == failed
        shown = await client.value("invocation.show", invocation=failed["invocation"])
        assert (shown["status"], shown["error"]) == ("failed", "no more tea")
        paused = await client.refusal("invoke", worker="desk/b", function="unmended")
        assert paused["code"] == "paused"
        assert "not mended" in paused["message"]


async def test_query(tmp_path: Path) -> None:
    """A query is answered by `query` and by `invoke`, of a worker that does not exist too; nothing is written."""
    async with desk(tmp_path) as client:
        for op in ("query", "invoke"):
            assert (await client.value(op, worker="desk/nobody", function="notes"))["result"] == b"[]"
            error = await client.refusal(op, worker="desk/nobody", function="broken")
            assert "no answer" in error["message"]
        assert client.entries() == 0
        assert (await client.items("worker.list"))[0] == []


async def test_invocation_list_and_attach(tmp_path: Path) -> None:
    """Invocations are listed by worker and status, shown, and attached to."""
    async with desk(tmp_path) as client:
        invocation, promise = await client.waiting("a")
        queued = await client.value("invoke", worker="desk/a", function="order", params=b"[[]]", send=True, key="k")
        await client.call("desk/b", "order", [])
        rows, end = await client.items("invocation.list", worker="desk/a")
        assert [(row["function"], row["status"]) for row in rows] == [("wait", "running"), ("order", "pending")]
        assert end == {"more": False}
        assert rows[1]["key"] == "k"
        assert rows[1]["invocation"] == queued["invocation"]
        rows, _ = await client.items("invocation.list", status="completed")
        assert [row["worker"] for row in rows] == ["desk/b"]
        rows, end = await client.items("invocation.list", limit=2)
        assert (len(rows), end) == (2, {"more": True})

        await client.send({"id": 99, "op": "invocation.attach", "invocation": invocation})
        assert await client.value("promise.complete", promise=promise, data=b"done") == {"settled": True}
        assert (await client.value("invocation.attach", invocation=invocation))["result"] == b'"done"'


# Promises.


async def test_promises(tmp_path: Path) -> None:
    """A promise is listed, polled, settled once, and shown with its outcome."""
    async with desk(tmp_path) as client:
        _, promise = await client.waiting("a")
        rows, _ = await client.items("promise.list")
        assert [(row["promise"], row["state"]) for row in rows] == [(promise, "pending")]
        assert await client.value("promise.poll", promise=promise) == {"promise": promise, "state": "pending"}
        assert await client.value("promise.complete", promise=promise, data=b"\x00\xff", by="me") == {"settled": True}
        assert await client.value("promise.complete", promise=promise, data=b"other", by="me") == {"settled": True}
        assert await client.value("promise.complete", promise=promise, data=b"other") == {"settled": False}
        assert await client.value("promise.reject", promise=promise, message="no") == {"settled": False}
        resolved = {"promise": promise, "state": "resolved", "data": b"\x00\xff"}
        for op in ("promise.await", "promise.poll", "promise.show"):
            assert await client.value(op, promise=promise) == resolved
        assert (await client.items("promise.list"))[0] == []
        assert len((await client.items("promise.list", state="resolved"))[0]) == 1


async def test_rejected_and_deleted_promises(tmp_path: Path) -> None:
    """A rejected promise has its reason; a deleted one ends who waits, and is deleted once."""
    async with desk(tmp_path) as client:
        invocation, promise = await client.waiting("a")
        assert await client.value("promise.reject", promise=promise, message="no tea") == {"settled": True}
        rejected = {"promise": promise, "state": "rejected", "error": "no tea"}
        assert await client.value("promise.await", promise=promise) == rejected
        error = await client.refusal("invocation.attach", invocation=invocation)
        assert (error["code"], error["message"]) == ("rejected", "no tea")

        invocation, promise = await client.waiting("b")
        assert await client.value("promise.delete", promise=promise) == {"deleted": True}
        assert await client.value("promise.delete", promise=promise) == {"deleted": False}
        assert (await client.value("promise.await", promise=promise))["state"] == "deleted"
        assert (await client.refusal("invocation.attach", invocation=invocation))["code"] == "deleted"


# Workers.


async def test_create_worker(tmp_path: Path) -> None:
    """A worker is created with arguments and environment, by position or by name, and shown with them."""
    async with desk(tmp_path) as client:
        assert await client.value("worker.create", worker="safe/a", args=b'["s", 2]') == {"worker": "safe/a"}
        assert await client.value("worker.create", worker="safe/b", args=b'{"secret": "t"}') == {"worker": "safe/b"}
        assert (await client.value("query", worker="safe/a", function="content"))["result"] == b'["s","s"]'
        assert (await client.value("query", worker="safe/b", function="content"))["result"] == b'["t"]'
        await client.value("worker.create", worker="desk/a", env={"LANG": "en"})
        assert await client.call("desk/a", "name") == {"LANG": "en"}
        shown = await client.value("worker.show", worker="desk/a")
        assert shown["env"] == {"LANG": "en"}
        assert shown["component_version"] == 1
        assert shown["status"] == "idle"


async def test_list_workers(tmp_path: Path) -> None:
    """Workers are listed by status and component, with a limit; names are percent-encoded in paths."""
    async with desk(tmp_path) as client:
        await client.waiting("a")
        await client.value("worker.create", worker="safe/x%2Fy%25", args=b'["s"]')
        rows, end = await client.items("worker.list")
        assert [row["worker"] for row in rows] == ["desk/a", "safe/x%2Fy%25"]
        assert end == {"more": False}
        assert (await client.items("worker.list", limit=1))[1] == {"more": True}
        assert (await client.items("worker.list", limit=0)) == ([], {"more": True})
        assert [row["worker"] for row in (await client.items("worker.list", status="suspended"))[0]] == ["desk/a"]
        assert len((await client.items("worker.list", component="safe"))[0]) == 1


async def test_interrupt_and_resume(tmp_path: Path) -> None:
    """An interrupted worker takes invocations and does none of them before it is resumed."""
    async with desk(tmp_path) as client:
        _, promise = await client.waiting("a")
        await client.value("worker.interrupt", worker="desk/a")
        await client.value("worker.interrupt", worker="desk/a")
        await client.value("promise.complete", promise=promise, data=b"done")
        queued = await client.value("invoke", worker="desk/a", function="order", params=b'[[],"x"]', send=True)
        await trio.testing.wait_all_tasks_blocked(0.02)
        shown = await client.value("worker.show", worker="desk/a")
        assert (shown["status"], shown["pending_invocations"]) == ("interrupted", 2)
        assert await client.call("desk/a", "notes") == []
        await client.value("worker.resume", worker="desk/a")
        assert (await client.value("invocation.attach", invocation=queued["invocation"]))["result"] == b"0"
        assert (await client.value("worker.show", worker="desk/a"))["status"] == "idle"


async def test_resume_all(tmp_path: Path) -> None:
    """All paused workers are resumed at once, and tried again; their errors can be seen."""
    async with desk(tmp_path) as client:
        for name in "abc":
            assert (await client.refusal("invoke", worker=f"desk/{name}", function="unmended"))["code"] == "paused"
        shown = await client.value("worker.show", worker="desk/a")
        assert (shown["status"], shown["attempt"]) == ("paused", 1)
        assert shown["error"] == "ValueError: not mended"
        assert "in unmended" in shown["traceback"]
        assert await client.value("worker.resume", all=True) == {"resumed": 3}


async def test_delete_worker(tmp_path: Path) -> None:
    """A deleted worker is gone, its promises and keys too; its name may be used again, its indices are not."""
    async with desk(tmp_path) as client:
        invocation, promise = await client.waiting("a")
        await client.value("invoke", worker="desk/a", function="order", params=b"[[]]", key="k", send=True)
        await client.send({"id": 99, "op": "promise.await", "promise": promise})
        await client.value("worker.delete", worker="desk/a")
        assert (await client.refusal("worker.show", worker="desk/a"))["code"] == "not_found"
        assert (await client.refusal("promise.show", promise=promise))["code"] == "not_found"
        assert (await client.refusal("invocation.attach", invocation=invocation))["code"] == "not_found"
        assert await client.call("desk/a", "order", [], key="k") == 0
        rows, _ = await client.items("oplog.read", worker="desk/a")
        assert rows[0]["index"] > 4
        assert rows[0]["kind"] in ("Removed", "Created")


# Oplogs and the executor.


async def test_read_oplog(tmp_path: Path) -> None:
    """An oplog is read from an index on, with a limit."""
    async with desk(tmp_path) as client:
        await client.call("desk/a", "order", [], "x")
        rows, end = await client.items("oplog.read", worker="desk/a")
        assert [row["index"] for row in rows] == list(range(1, len(rows) + 1))
        assert [row["kind"] for row in rows[:3]] == ["Created", "Invoked", "Completed"]
        assert end == {"more": False}
        rows, end = await client.items("oplog.read", worker="desk/a", **{"from": 2, "limit": 1})
        assert ([row["index"] for row in rows], end) == ([2], {"more": True})


async def test_follow_oplog(tmp_path: Path) -> None:
    """A followed oplog shows each entry once, as it becomes durable, and ends when its worker is deleted."""
    async with desk(tmp_path) as client:
        await client.waiting("a")
        await client.send({"id": 50, "op": "oplog.follow", "worker": "desk/a", "from": 3})
        first = await client.receive()
        assert first is not None
        assert first["item"]["index"] == 3
        await client.send({"id": 51, "op": "promise.complete", "promise": "desk/a/3", "data": b"x"})
        kinds = []
        while "Completed" not in kinds:
            message = await client.receive()
            assert message is not None
            if message["id"] == 50:
                kinds.append(message["item"]["kind"])
        assert kinds[:3] == ["Started", "Settled", "Ended"]


async def test_components_status_and_metrics(tmp_path: Path) -> None:
    """The executor tells what it serves, with schemas, and how much of everything there is."""
    async with desk(tmp_path) as client:
        await client.call("desk/a", "order", [])
        listed = await client.value("component.list")
        assert [component["component"] for component in listed] == ["desk", "safe"]
        order = next(handler for handler in listed[0]["handlers"] if handler["name"] == "order")
        assert order["kind"] == "handler"
        assert json(order["parameters"])
        status = await client.value("status")
        assert (status["pid"], status["workers"], status["workers_in_memory"]) == (os.getpid(), 1, 1)
        assert status["components"] == ["desk", "safe"]
        assert status["entries"] >= 3
        metrics = await client.value("metrics")
        assert metrics["invocations_accepted"] == 1


# What handlers may do, and what they must not do to others.


class Rude(workers.Worker):
    """Records what is hard to show, and fails in ways that are hard to tell of."""

    kept: list[Any] = field(factory=list)

    @workers.handler
    async def keep(self, value: Any) -> Any:
        return value

    @workers.handler
    async def terminal(self, message: str) -> None:
        raise workers.TerminalError(bad(message))

    @workers.handler
    async def raises(self, message: str) -> None:
        raise ValueError(bad(message))

    @workers.handler
    async def returns(self, message: str) -> str:
        return bad(message)

    @workers.handler
    async def logs(self, message: str) -> None:
        workers.log.info(bad(message))

    @workers.handler
    async def runs(self, message: str) -> None:
        await workers.run(fail_with, message)

    @workers.handler
    async def runs_named(self, message: str) -> None:
        await workers.run(fail_with, "", name=bad(message))

    @workers.handler
    async def runs_nameless(self, message: str) -> None:
        await workers.run(fail_with, "", name=5)  # type: ignore[call-overload]

    @workers.handler
    async def codes(self, message: str) -> None:
        raise workers.TerminalError("no", 2**70)

    @workers.handler
    async def mute(self, message: str) -> None:
        raise MuteError

    @workers.handler
    async def leaves(self, message: str) -> None:
        raise SystemExit(bad(message))

    @workers.handler
    async def interrupts(self, message: str) -> None:
        raise KeyboardInterrupt

    @workers.handler
    async def endless(self, message: str) -> None:
        await self.endless(message)

    @workers.query
    def asked(self, message: str) -> str:
        raise ValueError(bad(message))


class MuteError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def bad(message: str) -> str:
    return {"half": "half a \ud800 surrogate", "huge": "x" * (20 << 20), "nul": "\0"}[message]


def fail_with(message: str) -> str:
    if message:
        raise workers.TerminalError(bad(message))
    return "done"


RUDE = [name for name in vars(Rude) if not name.startswith("_") and name not in ("keep", "asked", "kept")]


@pytest.mark.parametrize("message", ["half", "huge", "nul"])
@pytest.mark.parametrize("function", RUDE)
async def test_rude_handlers_harm_nobody_else(tmp_path: Path, function: str, message: str) -> None:
    """However a handler fails, its caller is told, its oplog can be read, and everybody else is served."""
    async with serving(tmp_path, [Desk, Rude], Config(retry_attempts_max=1)) as (_, path), raw(path) as client:
        client.__class__ = Asked
        assert isinstance(client, Asked)
        answer = await client.ask("invoke", worker="rude/a", function=function, params=json([message]))
        if "error" in answer:
            assert answer["error"]["code"] in ("paused", "terminal"), answer["error"]["code"]
            assert answer["error"]["message"]
        assert await client.call("desk/a", "order", []) == 0
        shown = await client.value("worker.show", worker="rude/a")
        assert shown["status"] in ("idle", "paused")
        rows, _ = await client.items("oplog.read", worker="rude/a")
        assert rows[1]["function"] == function
    assert list(verify(tmp_path / "data")) == []


@pytest.mark.parametrize("message", ["half", "huge", "nul"])
async def test_rude_query(tmp_path: Path, message: str) -> None:
    """However a query fails, the asker is told."""
    async with serving(tmp_path, [Rude]) as (_, path), raw(path) as client:
        answer = await client.ask("query", worker="rude/a", function="asked", params=json([message]))
        assert answer["error"]["message"]
        assert "ok" in await client.ask("status")


@pytest.mark.parametrize(
    "value",
    [b"[" * 60 + b"]" * 60, b"[" * 400 + b"]" * 400, b"%d" % 2**64, b"-%d" % 2**70, b'{"":{"":1e300}}', b'"\\u0000"'],
)
async def test_what_is_recorded_can_be_read(tmp_path: Path, value: bytes) -> None:
    """Arguments and results that CBOR frames do not carry as they are can still be had, and shown in an oplog."""
    async with serving(tmp_path, [Rude], LIMITS) as (_, path), raw(path) as client:
        client.__class__ = Asked
        assert isinstance(client, Asked)
        answer = await client.ask("invoke", worker="rude/a", function="keep", params=b"[" + value + b"]")
        if "ok" in answer:
            assert answer["ok"]["result"] == msgspec.json.encode(msgspec.json.decode(value))
            rows, _ = await client.items("oplog.read", worker="rude/a")
            assert [row["kind"] for row in rows[:3]] == ["Created", "Invoked", "Completed"]
        else:
            assert answer["error"]["code"] == "bad_arguments"


# Refusals.

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
        assert (await client.refusal("worker.create", worker="desk/a"))["code"] == "bad_arguments"
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
