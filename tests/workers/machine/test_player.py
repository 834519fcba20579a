"""The player: queueing, replay step by step, divergence, cancelling, closing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from attrs import field

import promissory
from promissory.oplog.entries import Completed, Ended, Failure, Invoked, Snapshotted, Value
from promissory.oplog.errors import BadArguments, BadHandler, NewerFormat, NonDeterminismError
from promissory.workers.machine.player import Player
from promissory.workers.machine.step import StepFailed


def effect(number: int) -> int:
    return number


class Various(promissory.Worker):
    seen: list[Any] = field(factory=list)

    @promissory.handler
    async def promise(self) -> str:
        payload = await promissory.await_promise(promissory.create_promise())
        return payload.decode()

    @promissory.handler
    async def runs(self, count: int) -> int:
        return sum([await promissory.run(effect, number) for number in range(count)])

    @promissory.handler
    async def several(self) -> None:
        await promissory.race(promissory.sleep(1), promissory.run(effect, 1), promissory.sleep(2))

    @promissory.handler
    async def refuse(self) -> None:
        raise promissory.TerminalError("no use", 418)

    @promissory.query
    def count(self) -> int:
        return len(self.seen)


def test_outputs_compare_without_their_timestamps(host: Any) -> None:
    """Replay does not depend on when the outputs were written."""
    h = host(Various)
    h.invoke("several")
    h.end(4, b"1")
    later = [msgspec.structs.replace(e, timestamp=e.timestamp + i) for i, e in enumerate(h.record)]

    h.replay(later).close()


def test_a_step_is_for_the_invocation_at_its_beginning_and_else_for_the_input(host: Any) -> None:
    """A step says which input it was for: an invocation's own index for its beginning."""
    h = host(Various)
    invocation = h.queue("promise")
    assert h.step().input == invocation
    assert not h.player.ready
    ended = h.put(Ended(h.tick(), 4, Value(b"x")))
    waiting = h.queue("runs", 0)
    assert h.step().input == ended
    assert h.step().input == waiting
    h.settle()


def test_queued_invocations_begin_one_by_one_in_order(host: Any) -> None:
    """One invocation runs at a time; the next begins in a step of its own."""
    h = host(Various)
    first, second = h.queue("promise"), h.queue("runs", 0)
    h.settle()
    assert h.player.running == first
    assert h.outcome(second) is None
    h.end(5, b"yes")
    assert h.outcome(first) == "yes"
    assert h.outcome(second) == 0
    assert h.player.running is None


def test_a_delayed_invocation_queues_when_its_delay_ends(host: Any) -> None:
    """Until its own `Ended` a delayed invocation waits, and others pass it."""
    h = host(Various)
    delayed = h.queue("runs", 0, due=9)
    h.settle()
    assert h.player.running is None
    other = h.invoke("refuse")
    assert h.outcome(other) == Failure("terminal", "no use", 418)
    h.end(delayed)
    assert h.outcome(delayed) == 0


def test_an_effect_with_a_recorded_outcome_is_not_open(host: Any) -> None:
    """`open_runs` loses a run as soon as its `Ended` is recorded, not only when it is applied."""
    h = host(Various)
    h.invoke("runs", 2)
    (start,) = h.player.open_runs
    call = h.player.open_runs[start]
    assert (call.function, call.args, call.name) == (effect, (0,), "effect")
    h.put(Ended(h.tick(), start, Value(b"0")))
    assert start not in h.player.open_runs
    h.settle()
    assert len(h.player.open_runs) == 1


class Breaking(promissory.Worker):
    attempts: int = 0

    @promissory.handler
    async def go(self) -> None:
        await promissory.sleep(1)
        raise ValueError("broken")

    @promissory.handler
    async def fine(self) -> int:
        return 1


def test_a_step_that_raises_names_its_input_and_kills_its_player(make_host: Any) -> None:
    """Any exception that is not terminal is handed to the host with the input it belongs to."""
    h = make_host(Breaking)
    h.invoke("go")
    h.put(Ended(h.tick(), 3, Value(b"null")))

    with pytest.raises(StepFailed) as caught:
        h.step()

    assert caught.value.input == 4
    assert isinstance(caught.value.cause, ValueError)
    assert str(caught.value) == "ValueError: broken"
    again = h.replay()
    assert again.ready
    again.close()


def test_a_cancellation_takes_the_place_of_the_failing_input(make_host: Any) -> None:
    """When a step keeps failing, `Cancelled` is applied instead of its input, before all that came after."""
    h = make_host(Breaking)
    invocation = h.invoke("go")
    h.put(Ended(h.tick(), 3, Value(b"null")))
    waiting = h.queue("fine")

    h.player.close()
    h.player = h.replay()
    h.cancel(invocation, failing=4)

    assert h.outcome(invocation) == Failure("cancelled", "the invocation was cancelled", 409)
    assert h.outcome(waiting) == 1
    h.assert_replays()


class Refusing(promissory.Worker):
    @promissory.handler
    async def go(self) -> None:
        try:
            await promissory.sleep(1)
        finally:
            raise ValueError("never")


def test_a_second_cancellation_in_the_place_of_a_failing_one_asks_nobody(make_host: Any) -> None:
    """A handler that fails on `Cancelled` is completed without being asked again."""
    h = make_host(Refusing)
    invocation = h.invoke("go")
    with pytest.raises(StepFailed):
        h.cancel(invocation)
    failing = len(h.record)

    h.player = h.replay()
    h.cancel(invocation, failing=failing)

    assert h.outcome(invocation).kind == "cancelled"
    assert h.abandoned() == [3]
    h.assert_replays()


def test_cancelling_the_beginning_that_fails_completes_without_beginning(make_host: Any) -> None:
    """A `Cancelled` in the place of an invocation's own entry completes it unseen by any handler."""
    h = make_host(Breaking)
    invocation = h.queue("gone")
    with pytest.raises(StepFailed) as caught:
        h.step()
    assert isinstance(caught.value.cause, BadHandler)

    h.player = h.replay()
    h.cancel(invocation, failing=invocation)

    assert h.outcome(invocation).kind == "cancelled"
    h.assert_replays()


def test_a_recorded_handler_that_is_gone_is_a_bad_handler(make_host: Any) -> None:
    """A class that lost a handler cannot replay its invocations, and says which."""
    h = make_host(Breaking)
    h.invoke("fine")
    record = [
        msgspec.structs.replace(entry, function="gone") if isinstance(entry, Invoked) else entry for entry in h.record
    ]
    with pytest.raises(BadHandler, match="gone"):
        h.replay(record)


def test_a_handler_that_raises_in_replay_diverges(make_host: Any) -> None:
    """Code that fails where the record has outputs is a divergence that shows the error."""
    h = make_host(Breaking)
    invocation = h.invoke("go")
    ended = Ended(h.tick(), 3, Value(b"null"))
    completed = Completed(h.tick(), invocation, Value(b"null"))
    with pytest.raises(NonDeterminismError) as caught:
        h.replay([*h.record, ended, completed])
    assert (caught.value.index, caught.value.found) == (5, "ValueError: broken")
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_output_that_nothing_leads_to_diverges(make_host: Any) -> None:
    """A recorded output after which no step remains is reported as one that the code does not do."""
    h = make_host(Breaking)
    with pytest.raises(NonDeterminismError) as caught:
        h.replay([*h.record, Completed(h.tick(), 1, Value(b"1"))])
    assert caught.value.found == "nothing: it waits"


def test_kinds_of_later_versions_are_refused(make_host: Any) -> None:
    """An entry that changes what counts is never skipped silently."""
    h = make_host(Breaking)
    with pytest.raises(NewerFormat, match="Snapshotted"):
        h.put(Snapshotted(h.tick(), 1, b"{}"))


def test_every_step_goes_through_step_in(make_host: Any) -> None:
    """The host's wrapper surrounds construction, steps, queries and closing: all that runs worker code."""
    seen: list[int] = []

    def step_in(function: Any) -> Any:
        seen.append(1)
        return function()

    h = make_host(Various, step_in=step_in)
    assert len(seen) == 1
    h.invoke("promise")
    assert len(seen) == 2
    assert h.player.query("count", b"[]") == b"0"
    assert len(seen) == 3
    h.player.close()
    assert len(seen) == 4
    h.player.close()
    assert len(seen) == 4


class Lingering(promissory.Worker):
    heard: list[str] = field(factory=list)

    @promissory.handler
    async def go(self) -> None:
        try:
            await promissory.sleep(1)
        finally:
            try:
                promissory.run(effect, 1)
            except BaseException as error:
                self.heard.append(type(error).__name__)
                raise


def test_closing_runs_finally_blocks_and_records_nothing(make_host: Any) -> None:
    """What a dropped worker's `finally` asks of the host is refused."""
    h = make_host(Lingering)
    h.invoke("go")
    instance = h.player.instance
    before = list(h.record)
    h.player.close()
    assert instance.heard == ["Cancelled"]
    assert h.record == before
    with pytest.raises(ValueError, match="closed"):
        h.player.state()


def test_arguments_that_no_longer_fit_are_bad_arguments(make_host: Any) -> None:
    """A `Created` whose arguments the class refuses now is not replayed with others."""
    h = make_host(Breaking)
    record = [msgspec.structs.replace(h.record[0], args=b'["x"]')]
    with pytest.raises(BadArguments, match=r"\$\.attempts"):
        h.replay(record)


def test_many_entries_are_fed_within_one_step_in(make_host: Any) -> None:
    """A long replay pays for the host's wrapper once; afterwards each step has its own again."""
    h = make_host(Various)
    h.invoke("runs", 3)
    for number in range(2):
        h.end(h.open_calls()[0], b"%d" % number)
    seen: list[int] = []

    def step_in(function: Any) -> Any:
        seen.append(1)
        return function()

    player = Player(h.component, h.worker_id, step_in=step_in)
    player.feed_all(list(enumerate(h.record, 1)))
    player.end_of_record()
    assert len(seen) == 1
    assert list(player.open_runs) == list(h.player.open_runs)
    player.close()
    assert len(seen) == 2
    h.player.close()


def test_a_step_that_is_not_there_cannot_be_taken(make_host: Any) -> None:
    """Stepping a worker that waits is an error of its host."""
    h = make_host(Breaking)
    with pytest.raises(ValueError, match="no step"):
        h.step()
    player = Player(h.component, h.worker_id)
    with pytest.raises(ValueError, match="not been created"):
        player.state()
