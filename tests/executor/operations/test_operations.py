"""Every operation of the admin socket: what it does."""

from __future__ import annotations

import os
from pathlib import Path

import trio.testing

from tests.desk import desk, json

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
        assert (await client.value("promise.complete", promise=promise, data=b"done"))["settled"] is True
        assert (await client.value("invocation.attach", invocation=invocation))["result"] == b'"done"'


# Promises.


async def test_promises(tmp_path: Path) -> None:
    """A promise is listed, polled, settled once, and shown with its outcome."""
    async with desk(tmp_path) as client:
        _, promise = await client.waiting("a")
        rows, _ = await client.items("promise.list")
        assert [(row["promise"], row["state"]) for row in rows] == [(promise, "pending")]
        assert await client.value("promise.poll", promise=promise) == {"promise": promise, "state": "pending"}
        assert (await client.value("promise.complete", promise=promise, data=b"\x00\xff", by="me"))["settled"] is True
        assert (await client.value("promise.complete", promise=promise, data=b"other", by="me"))["settled"] is True
        assert (await client.value("promise.complete", promise=promise, data=b"other"))["settled"] is False
        assert (await client.value("promise.reject", promise=promise, message="no"))["settled"] is False
        resolved = {"promise": promise, "state": "resolved", "data": b"\x00\xff"}
        for op in ("promise.await", "promise.poll", "promise.show"):
            assert await client.value(op, promise=promise) == resolved
        assert (await client.items("promise.list"))[0] == []
        assert len((await client.items("promise.list", state="resolved"))[0]) == 1


async def test_rejected_and_deleted_promises(tmp_path: Path) -> None:
    """A rejected promise has its reason; a deleted one ends who waits, and is deleted once."""
    async with desk(tmp_path) as client:
        invocation, promise = await client.waiting("a")
        assert (await client.value("promise.reject", promise=promise, message="no tea"))["settled"] is True
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
        assert metrics["counters"]["invocations_accepted"] == 1
