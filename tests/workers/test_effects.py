"""`run`: what is recorded of it, what is handed to the host, and what comes back."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from attrs import define, field

import promissory
from promissory.oplog.entries import Failure, Run
from promissory.oplog.errors import TerminalError
from promissory.workers.machine.step import StepFailed


@define
class Receipt:
    number: int


def charge(amount: int, tags: list[str] | None = None) -> Receipt:
    return Receipt(amount)


async def charge_async(amount: int) -> Receipt:
    return Receipt(amount)


def untyped(x):  # type: ignore[no-untyped-def]
    return x


def unresolved() -> Nowhere:  # type: ignore[name-defined]  # noqa: F821
    ...


@functools.wraps(charge)
async def wrapped(*args: Any) -> Any: ...


class Callable_:
    async def __call__(self, x: int) -> int:
        return x


class Client:
    def get(self, x: int) -> list[int]:
        return [x]


client = Client()


class Pays(promissory.Worker):
    tags: list[str] = field(factory=list)

    @promissory.handler
    async def go(self, what: str) -> Any:
        function: Any = FUNCTIONS[what]
        return repr(await promissory.run(function, 3))

    @promissory.handler
    async def copies(self) -> None:
        self.tags.append("before")
        future = promissory.run(
            charge, 1, self.tags, name="named", retry=promissory.RetryPolicy(attempts=2), timeout=1.5
        )
        self.tags.append("after")
        await future

    @promissory.handler
    async def own(self) -> None:
        await promissory.run(self.helper)

    def helper(self) -> None: ...


FUNCTIONS: dict[str, Any] = {
    "sync": charge,
    "async": charge_async,
    "untyped": untyped,
    "lambda": lambda x: x,
    "partial": functools.partial(charge_async),
    "method": client.get,
    "object": Callable_(),
    "type": int,
    "builtin": abs,
    "wrapped": wrapped,
    "unresolved": unresolved,
    "number": 3,
}


@pytest.mark.parametrize(
    ("what", "name", "is_async", "recorded", "got"),
    [
        ("sync", "charge", False, b'{"number":3}', "Receipt(number=3)"),
        ("async", "charge_async", True, b'{"number":3}', "Receipt(number=3)"),
        ("untyped", "untyped", False, b'{"a":[1]}', "{'a': [1]}"),
        ("lambda", "<lambda>", False, b"3", "3"),
        ("partial", "charge_async", True, b'{"number":3}', "Receipt(number=3)"),
        ("method", "Client.get", False, b"[3]", "[3]"),
        ("object", "Callable_", True, b"3", "3"),
        ("type", "int", False, b"3", "3"),
        ("builtin", "abs", False, b"3", "3"),
        ("wrapped", "charge", True, b'{"number":3}', "Receipt(number=3)"),
    ],
)
def test_a_function_is_known_by_its_name_and_annotation(
    host: Any, what: str, name: str, is_async: bool, recorded: bytes, got: str
) -> None:
    """The record has the name; the outcome is converted by the return annotation."""
    h = host(Pays)
    h.invoke("go", "sync")
    h.end(h.open_calls()[0], b'{"number":3}')
    invocation = h.invoke("go", what)
    ((start, call),) = h.player.open_runs.items()
    assert h.record[start - 1].request == Run(name)
    assert (call.name, call.args, call.is_async, call.timeout) == (name, (3,), is_async, None)
    assert call.retry == promissory.RetryPolicy()
    h.end(start, recorded)
    assert h.outcome(invocation) == got


def test_arguments_are_copies_and_options_are_the_hosts(host: Any) -> None:
    """What the handler changes later, the effect does not see."""
    h = host(Pays)
    h.invoke("copies")
    ((start, call),) = h.player.open_runs.items()
    assert call.args == (1, ["before"])
    assert call.args[1] is not h.player.instance.tags
    assert h.record[start - 1].request == Run("named")
    assert call.retry.attempts == 2
    assert call.timeout == 1.5
    h.end(start, b'{"number":1}')


def test_the_result_is_encoded_by_the_annotation(host: Any) -> None:
    """A result that does not fit is terminal: performing the effect again would not help."""
    h = host(Pays)
    h.invoke("go", "sync")
    ((start, call),) = h.player.open_runs.items()
    assert call.encode(Receipt(3)) == b'{"number":3}'
    with pytest.raises(TerminalError, match="the result does not fit `Receipt`"):
        call.encode("x")
    h.end(start, b'{"number":3}')


def test_an_outcome_that_cannot_be_read_fails_the_await(host: Any) -> None:
    """The code expects another type than what is recorded."""
    h = host(Pays)
    invocation = h.invoke("go", "sync")
    h.end(h.open_calls()[0], b'"x"')
    assert h.outcome(invocation) == Failure(
        "terminal", "the recorded outcome cannot be read: Expected `object`, got `str`", 500
    )


@pytest.mark.parametrize(("what", "error"), [("unresolved", ValueError), ("number", TypeError)])
def test_what_cannot_be_run_is_refused_at_the_call(make_host: Any, what: str, error: type[Exception]) -> None:
    """No entry is written for it."""
    h = make_host(Pays)
    with pytest.raises(StepFailed) as caught:
        h.invoke("go", what)
    assert type(caught.value.cause) is error


def test_a_method_of_the_worker_cannot_be_run(make_host: Any) -> None:
    """It would share the worker's state with another thread."""
    h = make_host(Pays)
    with pytest.raises(StepFailed, match="no method of a worker"):
        h.invoke("own")
