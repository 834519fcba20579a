"""The TypeScript client works with what waits: workflows, awakeables, durable promises, a daemon that comes back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance.conftest import HERE, Program, Thrown, run_typescript
from tests.daemons import Daemons

AWAIT_ID = """
const promise = ingress.serviceClient({ name: "promise" });
const idOf = async (name) => (await promise.await({ promiseId: `id of ${name}` })).value;
"""
"""Has the id of the awakeable that a worker of the desk waits for."""


def test_workflow(typescript: Program) -> None:
    """`workflowClient` submits, looks at it meanwhile, and attaches to the result."""
    called = typescript("""
        const promise = ingress.serviceClient({ name: "promise" });
        const signup = ingress.workflowClient({ name: "signup" }, "ts/1");
        const submitted = await signup.workflowSubmit("ada@example.org");
        const early = await signup.workflowOutput();
        const link = (await promise.await({ promiseId: "link of ada@example.org" })).value;
        const status = await signup.status();
        const attached = signup.workflowAttach();
        await ingress.resolveAwakeable(link, "4711");
        return {
          submitted, early: early.ready, status,
          attached: await attached,
          attachedLater: await signup.workflowAttach(),
          result: await ingress.result(submitted),
          output: await signup.workflowOutput(),
          statusLater: await signup.status(),
        };
    """)

    result = "ada@example.org confirmed with 4711"
    assert called.pop("submitted")["status"] == "Accepted"
    assert called == {
        "early": False,
        "status": "waiting",
        "attached": result,
        "attachedLater": result,
        "result": result,
        "output": {"ready": True, "result": result},
        "statusLater": "confirmed",
    }


@pytest.mark.parametrize(("method", "source"), [("workflowAttach", "invocation"), ("workflowOutput", "ingress")])
def test_unknown_workflow(typescript: Program, method: str, source: str) -> None:
    """There is nothing to attach to before the workflow is submitted."""
    with pytest.raises(Thrown) as thrown:
        typescript(f'return await ingress.workflowClient({{ name: "signup" }}, "nobody").{method}()')

    message = {"invocation": "not found", "ingress": "invocation not found"}[source]
    assert thrown.value.status == 404
    assert thrown.value.error() == {"code": 404, "message": message, "source": source}


def test_awakeables(typescript: Program) -> None:
    """`resolveAwakeable` takes any JSON, nothing at all and bytes; later attempts do not throw and change nothing."""
    called = typescript(
        AWAIT_ID
        + """
        const desk = (name) => ingress.objectClient({ name: "desk" }, name);
        const value = { hello: "world", list: [1, null] };
        const json = desk("ts-json").anything();
        const id = await idOf("ts-json");
        await ingress.resolveAwakeable(id, value);
        await ingress.resolveAwakeable(id, "too late");
        await ingress.rejectAwakeable(id, "too late");
        const typed = desk("ts-typed").decision();
        await ingress.resolveAwakeable(await idOf("ts-typed"), { hello: "typed" });
        const nothing = desk("ts-void").nothing();
        await ingress.resolveAwakeable(await idOf("ts-void"));
        const bytes = desk("ts-bytes").anything();
        await ingress.resolveAwakeable(await idOf("ts-bytes"), Buffer.from("[1, 2]"), clients.serde.binary);
        return [await json, await typed, (await nothing) === undefined, await bytes];
        """
    )

    assert called == [{"hello": "world", "list": [1, None]}, "typed", True, [1, 2]]


def test_rejected_awakeables(typescript: Program) -> None:
    """`rejectAwakeable` raises at the await, with the reason; a handler that does not catch it fails with it."""
    called = typescript(
        AWAIT_ID
        + """
        const caught = ingress.objectClient({ name: "desk" }, "ts-caught").excuse();
        await ingress.rejectAwakeable(await idOf("ts-caught"), "Very bad error: ☠");
        const uncaught = ingress.objectClient({ name: "desk" }, "ts-uncaught").anything()
          .catch((e) => [e.status, JSON.parse(e.responseText)]);
        const id = await idOf("ts-uncaught");
        await ingress.rejectAwakeable(id, "No");
        await ingress.resolveAwakeable(id, "yes");
        return [await caught, await uncaught];
        """
    )

    assert called[0] == "rejected: Very bad error: ☠"
    status, error = called[1]
    assert error["source"] == "invocation"
    assert error["message"] == "No"
    assert status == error["code"]


def test_awakeable_that_does_not_fit(typescript: Program) -> None:
    """A payload of another type fails the await and nothing else: the worker takes the next call."""
    called = typescript(
        AWAIT_ID
        + """
        const desk = ingress.objectClient({ name: "desk" }, "ts-unfit");
        const failing = desk.decision().catch((e) => [e.status, JSON.parse(e.responseText).source]);
        await ingress.resolveAwakeable(await idOf("ts-unfit"), { hello: 1 });
        const failed = await failing;
        await promise.dispose({ promiseId: "id of ts-unfit" });
        const second = desk.decision();
        await ingress.resolveAwakeable(await idOf("ts-unfit"), { hello: "again" });
        return [failed, await second];
        """
    )

    assert called == [[500, "invocation"], "again"]


@pytest.mark.parametrize("method", ["resolveAwakeable", "rejectAwakeable"])
def test_forged_awakeables(typescript: Program, method: str) -> None:
    """An id with one character changed is refused, and the promise stays as it is."""
    program = """
        const desk = ingress.objectClient({ name: "desk" }, "ts-forged-METHOD");
        const waiting = desk.anything();
        const id = await idOf("ts-forged-METHOD");
        const forged = id.slice(0, 20) + (id[20] === "A" ? "B" : "A") + id.slice(21);
        const last = id.slice(0, -1) + (id.at(-1) === "A" ? "B" : "A");
        const refused = [];
        for (const wrong of [forged, last, "prom_1", id + "A"])
          await ingress.METHOD(wrong, "x").catch((e) => refused.push([e.status, JSON.parse(e.responseText)]));
        await ingress.resolveAwakeable(id, "right");
        return [refused, await waiting];
    """.replace("METHOD", method)
    refused, value = typescript(AWAIT_ID + program)

    assert value == "right"
    assert [status for status, _ in refused] == [400] * 4
    assert {(error["code"], error["source"]) for _, error in refused} == {(400, "ingress")}
    assert all(error["message"].startswith("bad awakeable id '") for _, error in refused)


@pytest.mark.parametrize(
    ("service", "named"),
    [
        ("promise", "{ promiseId: name, ...more }"),
        ("durablePromiseServer", "{ request: { promiseName: name }, ...more }"),
    ],
)
def test_durable_promises(typescript: Program, service: str, named: str) -> None:
    """Both spellings of the service: peek, await, resolve, reject, from wherever, in any order."""
    called = typescript(f"""
        const promise = ingress.serviceClient({{ name: "{service}" }});
        const body = (name, more = {{}}) => ({named});
        const waiting = promise.await(body("ts-{service}-1"));
        return [
          await promise.peek(body("ts-{service}-1")),
          await promise.resolve(body("ts-{service}-1", {{ value: {{ name: "Barack" }} }})),
          await promise.resolve(body("ts-{service}-1", {{ value: 2 }})),
          await promise.reject(body("ts-{service}-1", {{ errorMessage: "late" }})),
          await waiting,
          await promise.peek(body("ts-{service}-1")),
          await promise.reject(body("ts-{service}-2", {{ errorMessage: "help!" }})),
          await promise.resolve(body("ts-{service}-2", {{ value: 1 }})),
          await promise.await(body("ts-{service}-2")),
          await promise.peek(body("ts-{service}-2")),
          await promise.resolve(body("ts-{service}-3")),
          await promise.await(body("ts-{service}-3")),
          await promise.resolve(body("ts-{service}-4", {{ value: null }})),
          await promise.peek(body("ts-{service}-4")),
        ];
    """)

    value, error = {"value": {"name": "Barack"}}, {"error": "help!"}
    assert called[:10] == [None, value, value, value, value, value, error, error, error, error]
    assert called[10:] == [{}, {}, {"value": None}, {"value": None}]


def test_disposed_promise(typescript: Program) -> None:
    """`dispose` fails those who wait, and leaves the name as if nobody had used it."""
    called = typescript("""
        const promise = ingress.serviceClient({ name: "promise" });
        const named = { promiseId: "ts-disposed" };
        await promise.resolve({ ...named, value: 1 });
        const first = await promise.dispose(named);
        const open = await promise.peek(named);
        const failed = (error) => [error.status, JSON.parse(error.responseText).message];
        const heard = [];
        for (const _ of [1, 2]) promise.await(named).catch((error) => heard.push(failed(error)));
        while (heard.length < 2) await promise.dispose(named);
        return [first === undefined, open, heard, await promise.resolve({ ...named, value: 2 })];
    """)

    assert called == [True, None, [[500, "promise was disposed"]] * 2, {"value": 2}]


def test_missing_name(typescript: Program) -> None:
    """A request without a name is told which field it lacks."""
    called = typescript("""
        const caught = [];
        for (const [name, body] of [
          ["promise", {}], ["promise", { value: 1 }],
          ["durablePromiseServer", { request: {} }], ["durablePromiseServer", {}],
        ])
          await ingress.serviceClient({ name }).peek(body)
            .catch((e) => caught.push([e.status, JSON.parse(e.responseText).message]));
        return caught;
    """)

    assert [status for status, _ in called] == [400] * 4
    assert all("promiseId" in message or "promiseName" in message for _, message in called)


def test_long_await(typescript: Program) -> None:
    """A long await on a connection that was used before, and is used afterwards, is answered."""
    called = typescript("""
        const promise = ingress.serviceClient({ name: "promise" });
        const before = await promise.peek({ promiseId: "ts-long" });
        const started = Date.now();
        setTimeout(() => promise.resolve({ promiseId: "ts-long", value: "at last" }), 7_000);
        const waited = await promise.await({ promiseId: "ts-long" });
        const took = Date.now() - started;
        return [before, waited, took >= 6_900, await promise.peek({ promiseId: "ts-long" })];
    """)

    assert called == [None, {"value": "at last"}, True, {"value": "at last"}]


def test_many_waiters(typescript: Program) -> None:
    """A hundred that wait for one promise all hear of it."""
    called = typescript("""
        const promise = ingress.serviceClient({ name: "promise" });
        const all = Array.from({ length: 100 }, () => promise.await({ promiseId: "ts-many" }));
        await promise.resolve({ promiseId: "ts-many", value: 7 });
        return new Set((await Promise.all(all)).map((outcome) => outcome.value)).size;
    """)

    assert called == 1


def test_restart(daemons: Daemons, tmp_path: Path) -> None:
    """The daemon is killed while a patient client waits: once it is back, the client has every result."""
    first = daemons.start(tmp_path / "data", "office", "--http", "127.0.0.1:0", cwd=HERE)
    address = first.wait_for("serving")["http"]
    program = """
        const retry = { maxAttempts: false, maxInterval: 200 };
        const patient = clients.connect({ url, retry });
        const keyed = clients.SendOpts.from({ idempotencyKey: "k" });
        const sent = await patient.objectSendClient({ name: "counter" }, "c").add(5, keyed);
        const signup = patient.workflowClient({ name: "signup" }, "w");
        await signup.workflowSubmit("eve@example.org");
        const link = await patient.serviceClient({ name: "promise" }).await({ promiseId: "link of eve@example.org" });
        const attached = signup.workflowAttach();
        process.kill(PID, "SIGKILL");
        const result = await patient.result(sent);
        await patient.resolveAwakeable(link.value, "4711");
        const again = await patient.objectClient({ name: "counter" }, "c")
          .add(7, clients.Opts.from({ idempotencyKey: "k" }));
        return [result, await attached, again];
    """.replace("PID", str(first.pid))
    with ThreadPoolExecutor() as threads:
        running = threads.submit(run_typescript, f"http://{address}", program)
        first.wait()
        daemons.start(tmp_path / "data", "--http", address, cwd=HERE).wait_for("serving")

        assert running.result() == [5, "eve@example.org confirmed with 4711", 5]
