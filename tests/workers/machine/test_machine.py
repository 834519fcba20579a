"""The machine alone: entries in, entries out."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import promissory
from promissory.oplog.entries import Cancelled, Completed, Created, Ended, Invoked, Run, Started, Value
from promissory.oplog.errors import BadArguments, BadHandler
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.component import component_of
from promissory.workers.guard import current
from promissory.workers.machine.machine import Machine


def effect(number: int) -> int:
    return number


class Adder(promissory.Worker):
    total: int = 0

    @promissory.handler
    async def add(self, number: int) -> int:
        self.total += await promissory.run(effect, number)
        return self.total

    @promissory.query
    def look(self) -> int:
        return self.total


def machine() -> Machine:
    component = component_of(Adder)
    worker_id = WorkerId(component.id, "a")
    return Machine(component, Created(10, worker_id, 1, b"[]", {}, None, bytes(32)))


def invoked(function: str, params: bytes) -> Invoked:
    return Invoked(20, function, params, "k", None, None, (), None)


def test_one_step_for_each_input() -> None:
    """Beginning gives the first host call, its outcome the completion; indices follow the base."""
    m = machine()
    assert m.begin(OplogIndex(2), invoked("add", b"[3]"), 20, 2, 99) == [Started(99, OplogIndex(2), Run("effect"))]
    assert list(m.open_runs) == [3]
    outputs = m.apply(Ended(30, OplogIndex(3), Value(b"3")), 4, 100)
    assert outputs == [Completed(100, OplogIndex(2), Value(b"3"))]
    assert m.time == 30
    assert m.invocation is None


def test_inputs_that_concern_nothing_have_no_outputs() -> None:
    """They are applied all the same: time goes on."""
    m = machine()
    assert m.apply(Ended(40, OplogIndex(3), Value(b"3")), 4, 100) == []
    assert m.apply(Cancelled(50, OplogIndex(3), None), 4, 100) == []
    assert m.time == 50


@pytest.mark.parametrize(
    ("function", "params", "error"),
    [("gone", b"[]", BadHandler), ("look", b"[]", BadHandler), ("add", b'["x"]', BadArguments)],
)
def test_an_invocation_that_the_class_cannot_take_raises(function: str, params: bytes, error: Any) -> None:
    """The record was made by other code: that is for people to mend, no outcome is made up."""
    m = machine()
    with pytest.raises(error):
        m.begin(OplogIndex(2), invoked(function, params), 20, 2, 99)
    assert current.context is None


def test_a_machine_may_be_stepped_by_any_thread() -> None:
    """Who is stepped is known by the thread, only while it is stepped."""
    m = machine()
    m.begin(OplogIndex(2), invoked("add", b"[3]"), 20, 2, 99)
    outputs: list[Any] = []
    thread = threading.Thread(target=lambda: outputs.extend(m.apply(Ended(30, OplogIndex(3), Value(b"3")), 4, 100)))
    thread.start()
    thread.join()
    assert outputs == [Completed(100, OplogIndex(2), Value(b"3"))]
