"""Queries: read-only, never recorded, answered while the worker waits, retries or does not exist."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from attrs import field

import promissory
from promissory.oplog.errors import BadArguments, NonDeterminismError, PromissoryError, WorkerError
from promissory.oplog.tables import Table


class Ledger(promissory.Worker):
    lines: list[str] = field(factory=list)

    @promissory.handler
    async def write(self, line: str) -> None:
        self.lines.append(line)
        if line == "bad":
            raise ValueError("bad line")

    @promissory.handler
    async def wait(self) -> None:
        self.lines.append("waiting")
        await promissory.await_promise(promissory.create_promise())
        self.lines.append("done")

    @promissory.query
    def all(self) -> list[str]:
        return self.lines

    @promissory.query
    def change(self) -> None:
        self.lines = []

    @promissory.query
    def create(self) -> None:
        promissory.create_promise()

    @promissory.query
    def read_file(self) -> str:
        return pathlib.Path("/etc/hostname").read_text()

    @promissory.query
    def fail(self) -> None:
        raise KeyError("nothing")


@pytest.fixture
def ledger(durable: Any) -> Any:
    durable.register(Ledger)
    return durable


async def test_a_query_of_nobody_is_answered_by_a_fresh_instance(ledger: Any) -> None:
    """A worker that does not exist is answered for as if new, and nothing is written."""
    assert await ledger.query("ledger/1", "all") == []

    assert ledger.executor.environment.count(Table.OPLOG) == 0
    assert await ledger.workers() == []


async def test_a_query_is_answered_while_the_worker_waits(ledger: Any) -> None:
    """The state in the middle of a handler is seen; the oplog does not grow."""
    await ledger.send("ledger/1", "wait")
    before = await ledger.oplog("ledger/1")

    assert await ledger.query("ledger/1", "all") == ["waiting"]
    assert await ledger.invoke("ledger/1", "all") == ["waiting"]
    assert await ledger.oplog("ledger/1") == before


async def test_a_query_reads_a_worker_back(ledger: Any) -> None:
    """A worker that is not in memory is read back to answer."""
    await ledger.invoke("ledger/1", "write", "one")
    await ledger.simulate_crash()

    assert await ledger.query("ledger/1", "all") == ["one"]


async def test_a_query_sees_the_state_before_a_failing_input(ledger: Any) -> None:
    """While a worker retries, is paused or interrupted, what its failing step did is not seen."""
    await ledger.invoke("ledger/1", "write", "good")
    await ledger.send("ledger/1", "write", "bad")
    await ledger.quiet()

    assert (await ledger.show("ledger/1"))["status"] == "retrying"
    assert await ledger.query("ledger/1", "all") == ["good"]

    await ledger.interrupt("ledger/1")
    assert await ledger.query("ledger/1", "all") == ["good"]
    await ledger.simulate_crash()
    assert await ledger.query("ledger/1", "all") == ["good"]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("change", PromissoryError),
        ("create", PromissoryError),
        ("read_file", NonDeterminismError),
        ("fail", WorkerError),
    ],
)
async def test_a_query_that_does_what_it_may_not_fails_alone(ledger: Any, query: str, error: type[Exception]) -> None:
    """Setting a field, a host function, opening a file and any exception are the asker's error; the worker goes on."""
    await ledger.invoke("ledger/1", "write", "one")

    with pytest.raises(error):
        await ledger.query("ledger/1", query)

    assert await ledger.query("ledger/1", "all") == ["one"]
    assert (await ledger.show("ledger/1"))["status"] == "idle"


async def test_what_a_query_returns_is_a_copy(ledger: Any) -> None:
    """An answer crosses the worker's border as bytes: changing it changes nothing."""
    await ledger.invoke("ledger/1", "write", "one")
    (await ledger.query("ledger/1", "all")).append("mine")

    assert await ledger.query("ledger/1", "all") == ["one"]


async def test_a_query_takes_no_key_and_a_handler_is_no_query(ledger: Any) -> None:
    """Sending a query, giving it a key, or asking a handler as a query is refused."""
    with pytest.raises(BadArguments):
        await ledger.invoke("ledger/1", "all", key="k")
    with pytest.raises(BadArguments):
        await ledger.send("ledger/1", "all")
    with pytest.raises(BadArguments):
        await ledger.query("ledger/1", "write", "x")
