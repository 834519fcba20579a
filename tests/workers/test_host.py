"""Host functions: the request each one records and the value it returns."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import field

import promissory
from promissory.oplog.entries import (
    AwaitPromise,
    CompletePromise,
    CreatePromise,
    DeletePromise,
    Ended,
    Failure,
    Invoked,
    PollPromise,
    Sleep,
    Value,
)
from promissory.oplog.ids import ComponentId, OplogIndex, PromiseId, WorkerId
from promissory.workers.host import microseconds
from promissory.workers.machine.step import StepFailed

ELSEWHERE = PromiseId(WorkerId(ComponentId(bytes(16)), "other/worker"), OplogIndex(7))


class Asks(promissory.Worker):
    got: list[Any] = field(factory=list)

    @promissory.handler
    async def create(self) -> list[str]:
        return [str(promissory.create_promise()), str(promissory.create_promise(timeout=1.5))]

    @promissory.handler
    async def promises(self, text: str) -> None:
        self.got.append(await promissory.await_promise(text))
        self.got.append(await promissory.poll_promise(PromiseId.parse(text)))
        self.got.append(await promissory.poll_promise(text))
        self.got.append(await promissory.complete_promise(text, b"payload"))

    @promissory.handler
    async def delete(self, text: str) -> None:
        await promissory.delete_promise(text)

    @promissory.handler
    async def payload(self, what: str) -> None:
        promissory.complete_promise(ELSEWHERE, what)  # type: ignore[arg-type]

    @promissory.handler
    async def no_promise(self) -> None:
        promissory.await_promise(3)  # type: ignore[arg-type]

    @promissory.handler
    async def sleeps(self, seconds: float) -> None:
        await promissory.sleep(seconds)

    @promissory.handler
    async def chance(self) -> None:
        self.got += [promissory.random(), promissory.uuid4()]

    @promissory.handler
    async def clock(self) -> None:
        self.got.append(promissory.now())
        await promissory.sleep(1)
        self.got.append(promissory.now())

    @promissory.handler
    async def self_(self) -> list[Any]:
        return [str(promissory.current_worker()), dict(promissory.environment()), promissory.idempotency_key()]

    @promissory.handler
    async def speak(self) -> None:
        promissory.log.debug("d")
        promissory.log.info(3)
        promissory.log.warning("\ud800")
        promissory.log.error("e")


def test_create_promise_returns_its_id_at_once(host: Any) -> None:
    """The id is the worker and the index of the `Started`."""
    h = host(Asks)
    invocation = h.invoke("create")
    assert h.outcome(invocation) == [f"{h.worker_id}/3", f"{h.worker_id}/4"]
    assert h.calls() == [CreatePromise(None), CreatePromise(1_500_000)]


def test_promises_of_others_are_recorded_with_their_owner(host: Any) -> None:
    """await, poll (pending, then settled) and complete, by object or text."""
    h = host(Asks)
    h.invoke("promises", str(ELSEWHERE))
    for data in (b"raw", None, b"raw", b"true"):
        h.put(Ended(h.tick(), h.open_calls()[0], Value(data)))
        h.settle()
    owner = ELSEWHERE.worker_id
    assert h.calls() == [
        AwaitPromise(owner, 7),
        PollPromise(owner, 7),
        PollPromise(owner, 7),
        CompletePromise(owner, 7, b"payload"),
    ]
    assert h.player.state()["got"] == [b"raw", None, b"raw", True]


def test_promises_of_ones_own_are_recorded_without_an_owner(host: Any) -> None:
    """So a record does not repeat its own worker's name."""
    h = host(Asks)
    h.invoke("delete", f"{h.worker_id}/3")
    assert h.calls() == [DeletePromise(3)]
    h.end(h.open_calls()[0])


def test_only_the_owner_deletes(host: Any) -> None:
    """Deleting another worker's promise fails terminally, before anything is recorded."""
    h = host(Asks)
    outcome = h.outcome(h.invoke("delete", str(ELSEWHERE)))
    assert (outcome.kind, outcome.code) == ("terminal", 403)
    assert h.calls() == []


def test_a_text_that_is_no_promise_fails_terminally(host: Any) -> None:
    """It came from outside; no retry makes it an id."""
    h = host(Asks)
    assert h.outcome(h.invoke("promises", "nonsense")).code == 400


@pytest.mark.parametrize(("function", "args"), [("payload", ("text",)), ("no_promise", ())])
def test_wrong_types_are_type_errors(make_host: Any, function: str, args: tuple[Any, ...]) -> None:
    """A payload is bytes, a promise an id."""
    with pytest.raises(StepFailed) as caught:
        make_host(Asks).invoke(function, *args)
    assert isinstance(caught.value.cause, TypeError)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("rejected", promissory.PromiseRejected),
        ("deleted", promissory.PromiseDeleted),
        ("timed_out", promissory.TimedOut),
        ("call_cycle", promissory.CallCycleError),
        ("never heard of", promissory.TerminalError),
    ],
)
def test_a_recorded_failure_is_raised_as_its_kind(host: Any, kind: str, error: type[Exception]) -> None:
    """Uncaught it completes the invocation with the same kind."""
    h = host(Asks)
    invocation = h.invoke("promises", str(ELSEWHERE))
    h.fail(h.open_calls()[0], kind, "why", 499)
    assert h.outcome(invocation) == Failure(error.kind, "why", 499)  # type: ignore[attr-defined]


def test_sleep_is_recorded_in_microseconds(host: Any) -> None:
    """Durations are whole microseconds."""
    h = host(Asks)
    h.invoke("sleeps", 0.25)
    assert h.calls() == [Sleep(250_000)]
    h.end(h.open_calls()[0])


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e12])
def test_durations_out_of_range_are_refused(seconds: float) -> None:
    """They are neither negative nor longer than a century."""
    with pytest.raises(ValueError, match="a duration is between"):
        microseconds(seconds)


def test_randomness_is_seeded_by_the_worker_and_the_invocation(host: Any) -> None:
    """Two invocations differ, the same one in replay does not."""
    h = host(Asks)
    h.invoke("chance")
    h.invoke("chance")
    first, second = h.player.state()["got"][:2], h.player.state()["got"][2:]
    assert first != second
    assert 0 <= first[0] < 1
    assert first[1].version == second[1].version == 4
    assert h.replay().state()["got"] == first + second


def test_now_is_the_greatest_timestamp_of_the_inputs_applied(host: Any) -> None:
    """In UTC, to the microsecond; it does not move within a step."""
    h = host(Asks)
    h.invoke("clock")
    h.end(h.open_calls()[0])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    expected = [epoch + timedelta(microseconds=h.record[i - 1].timestamp) for i in (2, 4)]
    assert h.player.state()["got"] == expected


def test_a_delayed_invocation_begins_at_the_end_of_its_delay(host: Any) -> None:
    """`now()` is then, not when it was asked for."""
    h = host(Asks)
    delayed = h.queue("clock", due=9)
    h.put(Ended(h.tick(), delayed, Value(None)))
    h.settle()
    assert h.player.state()["got"][0].microsecond == h.record[2].timestamp % 1_000_000
    h.end(h.open_calls()[0])


def test_a_worker_knows_its_id_environment_and_key(host: Any) -> None:
    """They come from `Created` and `Invoked`."""
    h = host(Asks, env={"STAGE": "test"})
    invocation = h.invoke("self_")
    assert h.outcome(invocation) == [str(h.worker_id), {"STAGE": "test"}, "key"]


def test_the_key_of_a_call_is_a_uuid_of_its_caller(host: Any) -> None:
    """The same call has the same key, another one another."""
    h = host(Asks)
    keys = []
    for start in (5, 5, 6):
        caller = ELSEWHERE.worker_id
        invocation = h.put(Invoked(h.tick(), "self_", b"[]", None, caller, OplogIndex(start), (caller,), None))
        h.settle()
        keys.append(h.outcome(invocation)[2])
    assert keys[0] == keys[1] != keys[2]
    assert uuid.UUID(keys[0]).version == 5


def test_log_lines_come_with_their_step_and_not_in_replay(host: Any) -> None:
    """The host notes them after the step's outputs; the record needs none of them to replay."""
    h = host(Asks)
    h.invoke("speak")
    assert h.logs == [("debug", "d"), ("info", "3"), ("warning", "\\ud800"), ("error", "e")]
    assert h.calls() == []
