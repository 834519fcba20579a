"""How workers come to be: explicitly or on demand, with parent and environment, or not at all."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import pytest

import promissory
from promissory.executor.residents.creation import uuid4_text, uuid7_text
from promissory.oplog.errors import (
    BadArguments,
    Exists,
    LimitReached,
    NonDeterminismError,
    NotFound,
    PromissoryError,
    TerminalError,
)
from promissory.oplog.tables import Table

raising: list[BaseException] = []


class Sized(promissory.Worker):
    size: int
    unit: str = "m"

    @promissory.handler
    async def measure(self) -> str:
        return f"{self.size} {self.unit}"


class Moody(promissory.Worker):
    calm: bool = True

    def __attrs_post_init__(self) -> None:
        if raising:
            raise raising[0]

    @promissory.handler
    async def greet(self) -> str:
        return "hello"

    @promissory.query
    def is_calm(self) -> bool:
        return self.calm


class Reaching(promissory.Worker):
    def __attrs_post_init__(self) -> None:
        with Path(os.devnull).open():
            pass

    @promissory.handler
    async def greet(self) -> str:
        return "hello"


class Parent(promissory.Worker):
    @promissory.handler
    async def call(self, uri: str, function: str) -> str:
        try:
            return str(await promissory.invoke_and_await(uri, function))
        except TerminalError as error:
            return f"{type(error).__name__} {error}"

    @promissory.handler
    async def many(self) -> str:
        calls = [promissory.invoke_and_await("worker://moody/one", "greet") for _ in range(5)]
        return " ".join(await promissory.gather(*calls))

    @promissory.handler
    async def environment(self) -> dict[str, str]:
        return dict(promissory.environment())


@pytest.fixture
def making(durable: Any) -> Any:
    raising.clear()
    durable.register(Sized, Moody, Reaching, Parent)
    return durable


def test_names_and_keys_are_uuids() -> None:
    """A key is a UUID of version 4, a name one of version 7 with its time in front, whatever the random bytes."""
    for entropy in (bytes(16), b"\xff" * 16, bytes(range(16)), bytes(range(240, 256))):
        four, seven = uuid.UUID(uuid4_text(entropy)), uuid.UUID(uuid7_text(1_767_225_600_123, entropy))
        assert (four.version, four.variant) == (4, uuid.RFC_4122)
        assert (seven.version, seven.variant) == (7, uuid.RFC_4122)
        assert seven.int >> 80 == 1_767_225_600_123
        assert str(seven) == uuid7_text(1_767_225_600_123, entropy)


async def test_a_worker_with_required_fields_is_created_first(making: Any) -> None:
    """Neither client nor worker creates it on demand; once it is created both may call it."""
    assert "required fields" in await making.invoke("parent/1", "call", "worker://sized/1", "measure")
    with pytest.raises(BadArguments, match="required fields"):
        await making.invoke("sized/1", "measure")
    assert await making.workers() == ["parent/1"]

    await making.create("sized/1", 3, "km")
    assert await making.invoke("parent/1", "call", "worker://sized/1", "measure") == "3 km"


@pytest.mark.parametrize("error", [ValueError("no"), RecursionError("deep"), SystemExit(2), TerminalError("never")])
async def test_a_constructor_that_raises_writes_nothing(making: Any, error: BaseException) -> None:
    """Whatever a constructor raises, its caller is told, nothing is written and the executor goes on."""
    raising.append(error)
    assert (await making.invoke("parent/1", "call", "worker://moody/1", "greet")).split()[0] in (
        "CallError",
        "TerminalError",
    )
    for ask, *args in (
        (making.invoke, "moody/1", "greet"),
        (making.create, "moody/1"),
        (making.create, "moody/1", False),
        (making.query, "moody/1", "is_calm"),
    ):
        with pytest.raises(PromissoryError):
            await ask(*args)
    assert await making.workers() == ["parent/1"]

    raising.clear()
    assert await making.invoke("parent/1", "call", "worker://moody/1", "greet") == "hello"


async def test_a_constructor_that_reaches_out_is_refused(making: Any) -> None:
    """A constructor that opens a file is refused with the way out; nothing is written."""
    assert "run" in await making.invoke("parent/1", "call", "worker://reaching/1", "greet")
    with pytest.raises(NonDeterminismError):
        await making.invoke("reaching/1", "greet")
    assert await making.workers() == ["parent/1"]


async def test_a_deleted_target_lives_again(making: Any) -> None:
    """A call begins the next life of a deleted worker, with the caller as parent and its environment."""
    await making.create("parent/1", env={"B": "1", "A": "2"})
    await making.create("moody/1", env={"OLD": "x"})
    await making.delete("moody/1")
    raising.append(ValueError("not now"))
    await making.invoke("parent/1", "call", "worker://moody/1", "greet")
    with pytest.raises(NotFound):
        await making.show("moody/1")

    raising.clear()
    assert await making.invoke("parent/1", "call", "worker://moody/1", "greet") == "hello"
    kinds = [entry["kind"] for entry in await making.oplog("moody/1")]
    assert kinds == ["Removed", "Created", "Invoked", "Completed"]
    created = (await making.oplog("moody/1"))[1]
    assert created["env"] == {"A": "2", "B": "1"}
    assert str(created["parent"]).endswith("/1")
    await making.simulate_crash()
    assert await making.invoke("moody/1", "greet") == "hello"


async def test_five_calls_of_one_step_create_it_once(making: Any) -> None:
    """Calls of one step to a worker that does not exist make one worker, and one entry each."""
    assert await making.invoke("parent/1", "many") == "hello hello hello hello hello"
    kinds = [entry["kind"] for entry in await making.oplog("moody/one")]
    assert sorted(kinds) == ["Completed"] * 5 + ["Created"] + ["Invoked"] * 5


async def test_an_environment_is_given_once(making: Any) -> None:
    """A worker is created once, its environment stays; too long a one is refused."""
    await making.create("parent/1", env={"K": "V", "empty": "", "ünï": "çödé", "=": "\n"})
    with pytest.raises(Exists):
        await making.create("parent/1", env={"K": "other"})
    with pytest.raises(LimitReached):
        await making.create("parent/2", env={"K": "x" * (9 << 20)})
    await making.simulate_crash()

    shown = await making.invoke("parent/1", "environment")
    assert shown == {"K": "V", "empty": "", "ünï": "çödé", "=": "\n"}
    assert await making.invoke("parent/3", "environment") == {}
    assert making.executor.environment.count(Table.WORKERS) == 2
