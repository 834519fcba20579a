"""Durable futures: under way once called, settled once, awaited as often as one likes."""

from __future__ import annotations

from typing import Any

import pytest

import promissory
from promissory.oplog.entries import Ended, SameAs, Started, Value
from promissory.workers.machine.step import StepFailed


def effect() -> int:
    return 1


class Waits(promissory.Worker):
    @promissory.handler
    async def started_first(self) -> list[Any]:
        first, second = promissory.run(effect), promissory.sleep(1)
        shown = [repr(first)]
        await second
        shown.append(repr(first))
        return [*shown, await first, await first, repr(first)]

    @promissory.handler
    async def errors(self) -> str:
        future = promissory.run(effect)
        for _ in range(2):
            try:
                await future
            except promissory.TerminalError as error:
                text = f"{error} {future!r}"
        return text

    @promissory.handler
    async def never_awaited(self) -> None:
        promissory.run(effect)
        await promissory.sleep(1)


def test_a_host_call_is_under_way_before_it_is_awaited(host: Any) -> None:
    """Both are started by the call; outcomes may come in any order and be awaited again."""
    h = host(Waits)
    invocation = h.invoke("started_first")
    assert sum(isinstance(entry, Started) for entry in h.record) == 2
    run, sleep = h.open_calls()
    h.end(run, b"5")
    h.end(sleep)
    assert h.outcome(invocation) == ["<HostCall pending>", "<HostCall done>", 5, 5, "<HostCall done>"]


def test_an_error_is_raised_at_every_await(host: Any) -> None:
    """A failed future stays failed."""
    h = host(Waits)
    invocation = h.invoke("errors")
    h.fail(h.open_calls()[0], message="no")
    assert h.outcome(invocation) == "no <HostCall failed>"


def test_an_outcome_for_what_is_not_open_changes_nothing(host: Any) -> None:
    """An `Ended` that crossed with an `Abandoned` is applied and has no outputs."""
    h = host(Waits)
    h.invoke("never_awaited")
    run, sleep = h.open_calls()
    h.end(sleep)
    assert h.abandoned() == [run]
    count = len(h.record)
    h.put(Ended(h.tick(), run, Value(b"1")))
    h.settle()
    assert len(h.record) == count + 1


def test_a_reference_to_another_entry_is_the_hosts_to_resolve(make_host: Any) -> None:
    """The machine sees values and failures only."""
    h = make_host(Waits)
    h.invoke("errors")
    h.put(Ended(h.tick(), 3, SameAs(2)))
    with pytest.raises(StepFailed, match="the host resolves that"):
        h.settle()


def test_a_future_is_awaited_only_where_it_belongs(make_host: Any) -> None:
    """Outside of its handler's step there is nobody who could wake it."""
    h = make_host(Waits)
    h.invoke("errors")
    (call,) = h.player._machine.invocation.calls.values()
    with pytest.raises(RuntimeError, match="only be awaited by the handler"):
        call.__await__().send(None)
    h.player.close()
