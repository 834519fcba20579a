"""Awakeables: an id that settles one promise from anywhere, and a future of the value that it was made for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import pytest
from attrs import define, field

import promissory
from promissory.oplog.entries import AwaitPromise, CreatePromise, Failure, SettleAwakeable, Started, Value
from promissory.oplog.ids import AwakeableId, OplogIndex, PromiseId, WorkerId
from promissory.workers.machine.step import StepFailed
from promissory.workers.promises import awakeable, reject_awakeable, resolve_awakeable
from tests.workers.conftest import SEED

OTHER = str(AwakeableId.of(bytes(32), WorkerId(bytes(16), "other"), OplogIndex(3)))


@define
class Decision:
    approved: bool
    comment: str = ""


@define
class Choosy:
    number: int

    def __attrs_post_init__(self) -> None:
        if self.number < 0:
            raise KeyError("negative")


@dataclasses.dataclass
class Point:
    x: int


EXPECTED: dict[str, Any] = {
    "decision": Decision,
    "choosy": Choosy,
    "none": None,
    "int": int,
    "maybe": int | None,
    "either": int | str,
    "list": list[Decision],
    "small": Annotated[int, msgspec.Meta(le=9)],
    "unhashable": Annotated[int, msgspec.Meta(extra_json_schema={"examples": [1]})],
    "any": Any,
    "point": Point,
}


class Waiting(promissory.Worker):
    ids: list[str] = field(factory=list)

    @promissory.handler
    async def wait(self, expected: str, timeout: float | None = None) -> Any:
        name, future = awakeable(EXPECTED[expected], timeout)
        self.ids.append(name)
        value = await future
        return [type(value).__name__, value]

    @promissory.handler
    async def go_on(self, expected: str) -> str:
        name, future = awakeable(EXPECTED[expected])
        self.ids.append(name)
        try:
            await future
        except promissory.TerminalError as error:
            await promissory.sleep(1)
            return type(error).__name__
        return "no error"

    @promissory.handler
    async def two(self) -> list[Any]:
        ids, futures = zip(*(awakeable(int) for _ in range(2)), strict=True)
        self.ids += ids
        return list(await promissory.race(*futures))

    @promissory.handler
    async def leave(self) -> None:
        self.ids.append(awakeable(int)[0])

    @promissory.handler
    async def resolve(self, name: str, value: Any) -> bool:
        return await resolve_awakeable(name, value)

    @promissory.handler
    async def resolve_with(self, name: str, what: str) -> bool:
        return await resolve_awakeable(name, {"decision": Decision(True), "object": object()}[what])

    @promissory.handler
    async def void(self, name: str) -> bool:
        return await resolve_awakeable(name)

    @promissory.handler
    async def reject(self, name: str, reason: str) -> bool:
        return await reject_awakeable(name, reason)


@pytest.mark.parametrize(
    ("expected", "payload", "result"),
    [
        ("decision", b'{"approved": true}', ["Decision", {"approved": True, "comment": ""}]),
        ("point", b'{"x":1}', ["Point", {"x": 1}]),
        ("none", b"", ["NoneType", None]),
        ("none", b"null", ["NoneType", None]),
        ("int", b" 3 ", ["int", 3]),
        ("maybe", b"", ["NoneType", None]),
        ("maybe", b"3", ["int", 3]),
        ("either", b'"a"', ["str", "a"]),
        ("list", b'[{"approved":false}]', ["list", [{"approved": False, "comment": ""}]]),
        ("small", b"9", ["int", 9]),
        ("unhashable", b"9", ["int", 9]),
        ("any", b"", ["NoneType", None]),
        ("any", b'{"a":[1]}', ["dict", {"a": [1]}]),
    ],
)
def test_a_payload_becomes_a_value_of_the_type(
    host: Callable[..., Any], expected: str, payload: bytes, result: Any
) -> None:
    """Whatever annotation it is: the await gives such a value; an empty payload is None."""
    h = host(Waiting)
    invocation = h.invoke("wait", expected)
    h.end(h.open_calls()[0], payload)

    assert h.outcome(invocation) == result


@pytest.mark.parametrize(
    ("expected", "payload", "says"),
    [
        ("decision", b'{"approved": "yes"}', "`$.approved`"),
        ("decision", b"", "null"),
        ("int", b"", "null"),
        ("int", b"not JSON", "malformed"),
        ("int", b"\xff", "`int`"),
        ("none", b"3", "null"),
        ("either", b"1.5", "str"),
        ("small", b"10", "9"),
        ("choosy", b'{"number": -1}', "negative"),
        ("any", b"[" * 100_000, "does not fit"),
        ("list", b'[{"approved":1}]', "`$[0].approved`"),
    ],
)
def test_a_payload_that_does_not_fit_fails_the_await_terminally(
    host: Callable[..., Any], expected: str, payload: bytes, says: str
) -> None:
    """Whatever is sent, the worker is never stuck with it: uncaught it ends the invocation, caught it goes on."""
    h = host(Waiting)
    invocation = h.invoke("wait", expected)
    h.end(h.open_calls()[0], payload)
    other = h.invoke("go_on", expected)
    h.end(h.open_calls()[0], payload)
    h.end(h.open_calls()[0])

    failure = h.outcome(invocation)
    assert (failure.kind, failure.code) == ("terminal", 500)
    assert failure.message.startswith("the promise's value does not fit ")
    assert says in failure.message
    assert h.outcome(other) == "TerminalError"


@pytest.mark.parametrize(
    ("kind", "name"), [("rejected", "PromiseRejected"), ("timed_out", "TimedOut"), ("deleted", "PromiseDeleted")]
)
def test_a_failed_awakeable_raises_at_the_await(host: Callable[..., Any], kind: str, name: str) -> None:
    """Rejected, past its deadline, gone: each has its kind of `TerminalError`."""
    h = host(Waiting)
    invocation = h.invoke("go_on", "int")
    h.fail(h.open_calls()[0], kind, "because")
    h.end(h.open_calls()[0])

    assert h.outcome(invocation) == name


def test_the_id_names_the_promise_and_the_seed_vouches_for_it(host: Callable[..., Any]) -> None:
    """The id is of this worker's promise, made with the random bytes of its life."""
    h = host(Waiting)
    h.invoke("wait", "int")
    found = AwakeableId.parse(h.player.state()["ids"][0])
    create, wait = [i for i, entry in enumerate(h.record, 1) if isinstance(entry, Started)]

    assert found.is_genuine(SEED)
    assert found.promise == PromiseId(h.worker_id, OplogIndex(create))
    assert h.calls() == [CreatePromise(None), AwaitPromise(None, OplogIndex(create))]
    assert h.open_calls() == [wait]


def test_the_ids_are_the_same_in_replay(host: Callable[..., Any]) -> None:
    """Read back, a worker knows the same ids, and each of its awakeables has its own."""
    h = host(Waiting)
    h.invoke("wait", "int")
    h.end(h.open_calls()[0], b"1")
    h.invoke("two")
    ids = h.player.state()["ids"]

    assert h.replay().state()["ids"] == ids
    assert len(set(ids)) == 3


def test_the_first_of_several_is_told(host: Callable[..., Any]) -> None:
    """Its future goes where durable futures go; the other is given up, its promise is not."""
    h = host(Waiting)
    invocation = h.invoke("two")
    first, second = h.open_calls()
    h.end(second, b"5")

    assert h.outcome(invocation) == [1, 5]
    assert h.abandoned() == [first]


def test_an_awakeable_may_be_left_behind(host: Callable[..., Any]) -> None:
    """The id outlives the invocation that made it; nobody waits."""
    h = host(Waiting)
    invocation = h.invoke("leave")

    assert h.outcome(invocation) is None
    assert len(h.abandoned()) == 1
    assert h.player.running is None


@pytest.mark.parametrize(("timeout", "timeout_us"), [(None, None), (1.5, 1_500_000), (0, 0)])
def test_a_deadline_is_recorded_with_the_promise(
    host: Callable[..., Any], timeout: float | None, timeout_us: int | None
) -> None:
    """The deadline is the promise's own: whoever looks first settles it."""
    h = host(Waiting)
    h.invoke("wait", "int", timeout)

    assert h.calls()[0] == CreatePromise(timeout_us)


class Refusing(promissory.Worker):
    @promissory.handler
    async def of(self, what: str) -> Any:
        return awakeable({"object": object, "text": "Decision", "number": 3, "set": {1}}[what])  # type: ignore[call-overload]

    @promissory.handler
    async def late(self) -> Any:
        return awakeable(int, -1)


@pytest.mark.parametrize("what", ["object", "text", "number", "set"])
def test_a_type_that_no_payload_can_have_is_refused_at_once(make_host: Callable[..., Any], what: str) -> None:
    """It is a mistake of the code, not of the payload: the step fails, and nothing was created."""
    h = make_host(Refusing)
    with pytest.raises(StepFailed, match=r"TypeError: a promise's value: its annotation .* cannot"):
        h.invoke("of", what)

    assert h.calls() == []


def test_a_deadline_in_the_past_is_refused_at_once(make_host: Callable[..., Any]) -> None:
    """Nothing was created."""
    h = make_host(Refusing)
    with pytest.raises(StepFailed, match="ValueError"):
        h.invoke("late")

    assert h.calls() == []


@pytest.mark.parametrize(
    ("function", "args", "outcome"),
    [
        ("resolve", ({"a": [1]},), Value(b'{"a":[1]}')),
        ("resolve", (None,), Value(b"null")),
        ("resolve_with", ("decision",), Value(b'{"approved":true,"comment":""}')),
        ("void", (), Value(b"null")),
        ("reject", ("no",), Failure("rejected", "no", 500)),
        ("reject", ("",), Failure("rejected", "", 500)),
    ],
)
def test_anybody_with_the_id_can_settle(
    host: Callable[..., Any], function: str, args: tuple[Any, ...], outcome: Any
) -> None:
    """The request carries the id as it was given and the outcome; the answer is whether this call settled it."""
    h = host(Waiting)
    first, second = h.invoke(function, OTHER, *args), h.invoke(function, OTHER, *args)
    h.end(h.open_calls()[0], b"true")
    h.end(h.open_calls()[0], b"false")

    assert h.calls() == [SettleAwakeable(OTHER, outcome)] * 2
    assert (h.outcome(first), h.outcome(second)) == (True, False)


@pytest.mark.parametrize("name", ["", "prom_1", OTHER[:-1], OTHER + "A", "prom_1" + "A" * 100_000, "\x00"])
@pytest.mark.parametrize("function", ["resolve", "reject"])
def test_what_is_no_id_is_refused_at_once(host: Callable[..., Any], function: str, name: str) -> None:
    """Nothing is recorded of it but the error, which is terminal; forged ids are for the host to refuse."""
    h = host(Waiting)
    invocation = h.invoke(function, name, "value")

    failure = h.outcome(invocation)
    assert failure.message.startswith("bad awakeable id '")
    assert (failure.kind, failure.code, h.calls()) == ("terminal", 400, [])


def test_a_value_without_a_form_is_refused_at_once(host: Callable[..., Any]) -> None:
    """What JSON cannot hold is no payload."""
    h = host(Waiting)
    invocation = h.invoke("resolve_with", OTHER, "object")

    assert "cannot be written as JSON" in h.outcome(invocation).message
    assert h.calls() == []


@pytest.mark.parametrize("function", [awakeable, resolve_awakeable, reject_awakeable])
def test_only_a_handler_has_them(function: Any) -> None:
    """Outside of a handler's step they raise and record nothing."""
    with pytest.raises(RuntimeError, match="outside of a handler"):
        function(OTHER, "reason")
