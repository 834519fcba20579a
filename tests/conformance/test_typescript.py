"""The TypeScript client `@restatedev/restate-sdk-clients` works against the gateway, unchanged: calls and sends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.conformance.conftest import Program, Thrown


def test_service(typescript: Program) -> None:
    """`serviceClient` calls an ephemeral component: one argument, none, several by name or position, any JSON."""
    called = typescript("""
        const greeter = ingress.serviceClient({ name: "greeter" });
        return [
          await greeter.greet("Zoë ☕"),
          await greeter.hello(),
          (await greeter.forget("me")) === undefined,
          await greeter.echo({ deep: [1, 2.5, null, "x", { y: true }] }),
          (await greeter.echo(null)) === null,
          await greeter.receipt({ order_id: "o1", items: ["pot", "cup"] }),
          await greeter.letter({ name: "Ada", lines: ["a", "b"], urgent: true }),
          await greeter.letter(["Ada", ["a"]]),
        ];
    """)

    assert called == [
        "Hello, Zoë ☕",
        "Hello",
        True,
        {"deep": [1, 2.5, None, "x", {"y": True}]},
        True,
        {"order_id": "o1", "items": ["cup", "pot"], "paid": True},
        {"to": "Ada", "lines": 2, "urgent": True},
        {"to": "Ada", "lines": 1, "urgent": False},
    ]


def test_object(typescript: Program) -> None:
    """`objectClient` keeps a state for each name, and answers queries."""
    called = typescript("""
        const mine = ingress.objectClient({ name: "counter" }, "ts-object");
        const yours = ingress.objectClient({ name: "counter" }, "ts-object-2");
        return [
          await mine.add(3), await mine.add(4), await yours.add(1),
          await mine.value(), await mine.plus(10),
          (await mine.reset()) === undefined, await mine.value(), await yours.value(),
        ];
    """)

    assert called == [3, 7, 1, 7, 17, True, 0, 1]


@pytest.mark.parametrize("name", ["a/b", "Zoë ☕", "100%", "%2F", "a b+c", "?x=1#y", "send", '"', "a\\b", "&;=:@"])
def test_names(typescript: Program, name: str) -> None:
    """A worker's name is whatever the client makes of it in the path."""
    assert typescript(f'return await ingress.objectClient({{ name: "counter" }}, {name!a}).name()') == name


def test_kinds(typescript: Program) -> None:
    """`client` and `sendClient` choose by the kind of an interface; `call` and `send` take all by name."""
    called = typescript("""
        const greeter = { name: "greeter", _kind: "service" };
        const counter = { name: "counter", _kind: "object" };
        const keyed = clients.SendOpts.from({ idempotencyKey: "k" });
        const sent = await ingress.sendClient(counter, "ts-kinds").add(1, keyed);
        return [
          await ingress.client(greeter).greet("Ada"),
          await ingress.result(sent),
          await ingress.client(counter, "ts-kinds").add(1),
          (await ingress.sendClient(greeter).greet("Ada")).status,
          await ingress.call({ service: "greeter", handler: "greet", parameter: "Bob" }),
          await ingress.call({ service: "counter", handler: "add", key: "ts-kinds", parameter: 1 }),
          (await ingress.send({ service: "counter", handler: "add", key: "ts-kinds", parameter: 1 })).status,
          (await ingress.send({ service: "greeter", handler: "hello" })).status,
        ];
    """)

    assert called == ["Hello, Ada", 1, 2, "Accepted", "Hello, Bob", 3, "Accepted", "Accepted"]


def test_sends(typescript: Program) -> None:
    """`objectSendClient` and `serviceSendClient` return when the invocation is durable; `result` waits for its end."""
    called = typescript("""
        const counter = ingress.objectSendClient({ name: "counter" }, "ts-sends");
        const greeter = ingress.serviceSendClient({ name: "greeter" });
        const keyed = clients.rpc.sendOpts({ idempotencyKey: "ts-sends" });
        const sent = await counter.add(5, keyed);
        const again = await counter.add(6, keyed);
        const greeted = await greeter.greet("Ada", keyed);
        const greetedAgain = await greeter.greet("Bob", keyed);
        const plain = await counter.add(1);
        return {
          sent, again, plain, greeted, greetedAgain,
          results: [await ingress.result(sent), await ingress.result(again), await ingress.result(greeted)],
          forgotten: (await ingress.result(await greeter.forget("x", keyed))) === undefined,
        };
    """)

    sent, again, greeted, plain = (called[name] for name in ("sent", "again", "greeted", "plain"))
    assert sent["invocationId"].startswith("inv_1")
    assert sent == {"invocationId": sent["invocationId"], "status": "Accepted", "attachable": True}
    assert again == {**sent, "status": "PreviouslyAccepted"}
    assert called["greetedAgain"] == {**greeted, "status": "PreviouslyAccepted"}
    assert plain["status"] == "Accepted"
    assert plain["attachable"] is False
    assert len({sent["invocationId"], greeted["invocationId"], plain["invocationId"]}) == 3
    assert called["results"] == [5, 5, "Hello, Ada"]
    assert called["forgotten"] is True


def test_delayed_sends(typescript: Program) -> None:
    """A delayed one says when it will run, and runs then."""
    before = datetime.now(UTC)
    called = typescript("""
        const counter = ingress.objectSendClient({ name: "counter" }, "ts-delayed");
        const later = await counter.add(1, clients.SendOpts.from({ delay: { hours: 1 }, idempotencyKey: "later" }));
        const soon = await counter.add(2, clients.SendOpts.from({ delay: 50, idempotencyKey: "soon" }));
        const again = await counter.add(1, clients.SendOpts.from({ delay: { hours: 2 }, idempotencyKey: "later" }));
        return { later, soon, again, result: await ingress.result(soon) };
    """)
    due = datetime.fromisoformat(called["later"]["executionTime"])

    assert before + timedelta(hours=1) <= due <= datetime.now(UTC) + timedelta(hours=1)
    assert called["later"]["status"] == "Accepted"
    assert called["again"] == {**called["later"], "status": "PreviouslyAccepted"}
    assert called["result"] == 2
    assert datetime.fromisoformat(called["soon"]["executionTime"]) < due


def test_idempotency(typescript: Program) -> None:
    """One key is one execution: a repeated call gets the first's result, one that comes meanwhile joins it."""
    called = typescript("""
        const counter = ingress.objectClient({ name: "counter" }, "ts-keys");
        const promise = ingress.serviceClient({ name: "promise" });
        const keyed = (idempotencyKey) => clients.Opts.from({ idempotencyKey });
        const both = [0, 1].map(() => counter.add_when({ promise: "ts-keys", by: 7 }, keyed("both")));
        await promise.resolve({ promiseId: "ts-keys", value: null });
        return [
          await Promise.all(both),
          await counter.add(1, keyed("first")), await counter.add(100, keyed("first")), await counter.value(),
        ];
    """)

    assert called == [[7, 7], 8, 8, 8]


def test_idempotency_after_a_timeout(typescript: Program) -> None:
    """The client gives up; the invocation goes on; the same key gets its result."""
    called = typescript("""
        const counter = ingress.objectClient({ name: "counter" }, "ts-timeout");
        const promise = ingress.serviceClient({ name: "promise" });
        const argument = { promise: "ts-timeout", by: 7 };
        let error;
        try {
          await counter.add_when(argument, clients.Opts.from({ idempotencyKey: "k", timeout: 200 }));
        } catch (e) { error = e.name; }
        await promise.resolve({ promiseId: "ts-timeout", value: 1 });
        const result = await counter.add_when(argument, clients.Opts.from({ idempotencyKey: "k" }));
        return [error, result, await counter.value()];
    """)

    assert called == ["TimeoutError", 7, 7]


def test_unknown_invocation(typescript: Program) -> None:
    """`result` of what is no invocation is refused."""
    with pytest.raises(Thrown) as thrown:
        typescript('return await ingress.result({ invocationId: "inv_1xyz", attachable: true })')

    assert thrown.value.status == 400
    assert thrown.value.error()["source"] == "ingress"


def test_errors(typescript: Program) -> None:
    """A handler's terminal error has its code and says that it is the invocation's; refusals are the ingress's."""
    called = typescript("""
        const greeter = ingress.serviceClient({ name: "greeter" });
        const caught = [];
        for (const call of [
          () => greeter.refuse({ why: "I am a teapot", code: 418 }),
          () => greeter.refuse({ why: "no" }),
          () => greeter.nobody(1),
          () => ingress.serviceClient({ name: "nobody" }).greet(1),
          () => greeter.greet(1),
          () => greeter.receipt({ order_id: "x", items: ["a", 2] }),
          () => greeter.letter({ name: "x", lines: [], stamp: 1 }),
        ])
          await call().catch((e) => caught.push([e.constructor.name, e.status, JSON.parse(e.responseText)]));
        return caught;
    """)

    assert [(name, status, error["code"], error["source"]) for name, status, error in called] == [
        ("HttpCallError", 418, 418, "invocation"),
        ("HttpCallError", 500, 500, "invocation"),
        ("HttpCallError", 404, 404, "ingress"),
        ("HttpCallError", 404, 404, "ingress"),
        ("HttpCallError", 400, 400, "ingress"),
        ("HttpCallError", 400, 400, "ingress"),
        ("HttpCallError", 400, 400, "ingress"),
    ]
    messages = [error["message"] for _, _, error in called]
    assert messages[:2] == ["I am a teapot", "no"]
    assert messages[3] == "service 'nobody' not found, make sure to register the service before calling it."
    assert "items[1]" in messages[5]
    assert "str" in messages[5]
    assert "stamp" in messages[6]


def test_result_of_a_failure(typescript: Program) -> None:
    """`result` throws what the invocation failed with."""
    with pytest.raises(Thrown) as thrown:
        typescript("""
            const greeter = ingress.serviceSendClient({ name: "greeter" });
            const options = clients.SendOpts.from({ idempotencyKey: "ts-failure" });
            return await ingress.result(await greeter.refuse({ why: "sold out", code: 409 }, options));
        """)

    assert thrown.value.status == 409
    assert thrown.value.error() == {"code": 409, "message": "sold out", "source": "invocation"}


def test_retries(typescript: Program) -> None:
    """A client that retries does not retry what the invocation itself ended with: the header tells the two apart."""
    called = typescript("""
        const attempts = [];
        const counting = (url, init) => {
          attempts.push(init.headers["x-restateclient-retry-attempt"]);
          return fetch(url, init);
        };
        const retrying = clients.connect({ url, retry: true, fetch: counting });
        const greeter = retrying.serviceClient({ name: "greeter" });
        let status;
        await greeter.refuse({ why: "no", code: 500 }, clients.Opts.from({ idempotencyKey: "ts-retries" }))
          .catch((e) => { status = e.status; });
        const result = await greeter.greet("Ada", clients.Opts.from({ idempotencyKey: "ts-retries" }));
        return [status, result, attempts];
    """)

    assert called == [500, "Hello, Ada", ["1", "1"]]
