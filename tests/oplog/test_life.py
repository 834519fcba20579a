"""What may follow what, judged without a store: legal lives have no problems, and loss is not multiplied."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.oplog import entries as e
from promissory.oplog.ids import DURABLE_PROMISE, ComponentId, OplogIndex, WorkerId
from promissory.oplog.life import Life

NAMED = WorkerId(ComponentId(bytes(16)), "a")
OTHER = WorkerId(ComponentId(bytes(16)), "b")
THIRD = WorkerId(ComponentId(bytes(16)), "c")
CREATED = e.Created(5, NAMED, 1, b"[]", {}, None, bytes(32))
INVOKED = e.Invoked(5, "f", b"[]", "k", None, None, (), None)


def index(value: int) -> OplogIndex:
    return OplogIndex(value)


def judge(*found: tuple[int, e.Entry]) -> list[tuple[int, str]]:
    """Return the problems of a life, by index and kind."""
    life = Life()
    return [(place, kind) for place, entry in found for kind, _ in life.admit(place, entry)[1]]


def from_first(*entries: e.Entry) -> list[tuple[int, str]]:
    return judge(*enumerate(entries, 1))


def test_an_abandoned_call_may_have_ended() -> None:
    """An `Ended` that was queued when its call was given up stands before the `Abandoned`, and only there."""
    run = e.Started(5, index(2), e.Run("x"))
    ended, abandoned = e.Ended(5, index(3), e.Value(b"1")), e.Abandoned(5, index(3))

    assert from_first(CREATED, INVOKED, run, ended, abandoned) == []
    assert from_first(CREATED, INVOKED, run, abandoned, ended) == [(5, "twice")]
    assert from_first(CREATED, INVOKED, run, ended, abandoned, ended) == [(6, "twice")]


def test_a_durable_promise_is_settled_like_any_other() -> None:
    """Its `Created`, and no other worker's, is a promise: settled once, deleted once, nothing invoked there."""
    release = e.Created(5, WorkerId(DURABLE_PROMISE, "release"), 1, b"[]", {}, None, bytes(32))
    settled, deleted = e.Settled(5, index(1), e.Value(b"1"), ""), e.Deleted(5, index(1), "")
    life = Life()
    life.admit(1, release)

    assert life.admit(2, settled) == (release, [])
    assert from_first(release, settled, deleted) == []
    assert from_first(release, settled, settled, deleted, deleted) == [(3, "twice"), (5, "twice")]
    assert from_first(release, INVOKED) == [(2, "reference")]
    assert from_first(CREATED, settled) == [(2, "reference")]
    assert judge((4, e.Removed(5, release.worker_id, "")), (5, release), (6, settled)) == [(6, "reference")]


def test_what_an_entry_refers_to_is_handed_on() -> None:
    """The entry that is referred to comes back for the fold; none for an `Abandoned` whose call has ended."""
    life = Life()
    run = e.Started(5, index(2), e.Run("x"))
    promise = e.Started(5, index(2), e.CreatePromise(None))
    for place, entry in enumerate((CREATED, INVOKED, run, promise, run), 1):
        assert life.admit(place, entry) == (None, [])

    assert life.admit(6, e.Ended(5, index(3), e.Value(b"1"))) == (run, [])
    assert life.admit(7, e.Abandoned(5, index(3))) == (None, [])
    assert life.admit(8, e.Abandoned(5, index(5))) == (run, [])
    assert life.admit(9, e.Settled(5, index(4), e.Value(b""), "")) == (promise, [])
    assert life.admit(10, e.Deleted(5, index(4), "")) == (promise, [])
    assert life.admit(11, e.Completed(5, index(2), e.Value(b"1"))) == (INVOKED, [])


def test_a_delayed_invocation_is_queued_by_its_end() -> None:
    """A delayed invocation cannot begin before its `Ended`, and is queued once."""
    delayed = e.Invoked(5, "f", b"[]", "k", None, None, (), 9)
    run, ended = e.Started(5, index(2), e.Run("x")), e.Ended(9, index(2), e.Value(None))

    assert from_first(CREATED, delayed, ended, e.Started(9, index(2), e.Run("x"))) == []
    assert from_first(CREATED, delayed, run) == [(3, "reference")]
    assert from_first(CREATED, delayed, ended, ended) == [(4, "twice")]
    assert from_first(CREATED, INVOKED, ended) == [(3, "twice")]
    assert from_first(CREATED, delayed, e.Completed(5, index(2), e.Value(b"1"))) == [(3, "reference")]


def test_a_delayed_invocation_is_queued_by_a_cancelled_in_its_place() -> None:
    """A delayed invocation that is cancelled is queued by that, once, and only if it takes its place."""
    delayed = e.Invoked(5, "f", b"[]", "k", None, None, (), 9)
    ended, cancelled = e.Ended(9, index(2), e.Value(None)), e.Cancelled(9, index(2), index(2))
    completed = e.Completed(9, index(2), e.Failure("cancelled", "", 409))
    errored = e.Errored(9, index(2), 1, "", "", None)
    plain = e.Cancelled(9, index(2), None)

    assert from_first(CREATED, delayed, cancelled, completed) == []
    assert from_first(CREATED, delayed, cancelled, ended) == [(4, "twice")]
    assert from_first(CREATED, delayed, cancelled, plain, completed, plain) == []
    assert from_first(CREATED, delayed, plain) == [(3, "reference")]
    assert from_first(CREATED, delayed, ended, cancelled) == [(4, "reference")]
    assert from_first(CREATED, delayed, ended, errored, cancelled, completed) == []
    assert from_first(CREATED, delayed, errored) == [(3, "reference")]
    assert from_first(CREATED, INVOKED, cancelled) == [(3, "reference")]
    assert from_first(CREATED, INVOKED, errored, cancelled, completed) == []


def test_a_cancelled_hands_its_invocation_on() -> None:
    """What a Cancelled refers to comes back for the fold while it is there: nothing when it is completed."""
    life = Life()
    life.admit(1, CREATED)
    life.admit(2, INVOKED)

    assert life.admit(3, e.Cancelled(5, index(2), None)) == (INVOKED, [])
    life.admit(4, e.Completed(5, index(2), e.Value(b"1")))
    assert life.admit(5, e.Cancelled(5, index(2), None)) == (None, [])


@pytest.mark.parametrize(
    "request_",
    [e.Call(OTHER, "f", b"[]"), e.Send(OTHER, "f", b"[]", None), e.Ask(OTHER, "f", b"[]")],
)
def test_calls_of_other_workers_are_calls(request_: e.Request) -> None:
    """A call, a send and an ask are started in a running invocation, and closed before it completes."""
    start, ended = e.Started(5, index(2), request_), e.Ended(5, index(3), e.Value(b"1"))
    completed = e.Completed(5, index(2), e.Value(b"1"))

    assert from_first(CREATED, INVOKED, start, ended, completed) == []
    assert from_first(CREATED, INVOKED, start, e.Abandoned(5, index(3)), completed) == []
    assert from_first(CREATED, INVOKED, start, completed) == [(4, "open")]
    assert from_first(CREATED, INVOKED, start, ended, ended) == [(5, "twice")]


def invoked(**fields: object) -> e.Invoked:
    """Return the invocation that `OTHER` waits for, changed."""
    call = e.Invoked(5, "f", b"[]", None, OTHER, index(4), (THIRD, OTHER), None)
    return msgspec.structs.replace(call, **fields)


@pytest.mark.parametrize(
    ("entry", "is_sound"),
    [
        (invoked(), True),
        (invoked(chain=()), True),
        (invoked(chain=(OTHER,)), True),
        (invoked(chain=(), due=9), True),
        (invoked(chain=(), caller=NAMED), True),
        (invoked(caller_start=None), False),
        (invoked(caller=None, chain=(), key="k"), False),
        (invoked(caller=None, caller_start=None, key="k"), False),
        (invoked(key="k"), False),
        (msgspec.structs.replace(INVOKED, key=None), False),
        (invoked(chain=(OTHER, THIRD)), False),
        (invoked(chain=(THIRD,)), False),
        (invoked(due=9), False),
        (invoked(chain=(OTHER, THIRD, OTHER)), False),
        (invoked(chain=(NAMED, OTHER)), False),
        (invoked(chain=(NAMED,), caller=NAMED), False),
    ],
)
def test_who_calls_and_who_waits(entry: e.Invoked, is_sound: bool) -> None:
    """A call is known by its caller alone; who waits for it is a chain that ends with the caller and never returns."""
    assert from_first(CREATED, entry) == ([] if is_sound else [(2, "reference")])


def test_an_ephemeral_worker_has_one_invocation() -> None:
    """Only the one invocation of its worker's life has a retention."""
    ephemeral = msgspec.structs.replace(INVOKED, retention_us=9)
    completed = e.Completed(5, index(2), e.Value(b"1"))

    assert from_first(CREATED, ephemeral, completed) == []
    assert from_first(CREATED, ephemeral, INVOKED, INVOKED) == [(3, "twice"), (4, "twice")]
    assert from_first(CREATED, INVOKED, completed, ephemeral) == [(4, "twice")]
    assert from_first(CREATED, ephemeral, completed, ephemeral) == [(4, "twice")]


def test_one_invocation_runs_at_a_time() -> None:
    """While an invocation runs no other starts a call; once it is completed the next does."""
    one, other = e.Started(5, index(2), e.CreatePromise(None)), e.Started(5, index(3), e.CreatePromise(None))
    completed = e.Completed(5, index(2), e.Value(b"1"))

    assert from_first(CREATED, INVOKED, INVOKED, one, completed, other) == []
    assert from_first(CREATED, INVOKED, INVOKED, one, other) == [(5, "reference")]


@pytest.mark.parametrize(
    ("found", "problems"),
    [
        ([(1, CREATED)], []),
        ([(4, e.Removed(5, CREATED.worker_id, ""))], []),
        ([(4, e.Removed(5, CREATED.worker_id, "")), (5, CREATED)], []),
        (
            [
                (4, e.Removed(5, CREATED.worker_id, "")),
                (9, e.Removed(5, CREATED.worker_id, "")),
                (10, CREATED),
                (11, INVOKED),
            ],
            [],
        ),
        ([(2, CREATED)], [(2, "gap")]),
        ([(1, e.Removed(5, CREATED.worker_id, ""))], [(1, "life")]),
        ([(4, e.Removed(5, CREATED.worker_id, "")), (5, e.Removed(5, CREATED.worker_id, ""))], [(5, "life")]),
        ([(4, e.Removed(5, CREATED.worker_id, "")), (5, INVOKED)], [(5, "life")]),
        ([(4, e.Removed(5, CREATED.worker_id, "")), (6, CREATED)], [(6, "gap")]),
        ([(1, CREATED), (2, CREATED)], [(2, "life")]),
        ([(1, CREATED), (2, e.Removed(5, CREATED.worker_id, ""))], [(2, "life")]),
        ([(1, CREATED), (3, e.Removed(5, CREATED.worker_id, ""))], [(3, "gap"), (3, "life")]),
        ([(1, CREATED), (3, INVOKED), (4, INVOKED), (6, INVOKED)], [(3, "gap"), (6, "gap")]),
        ([(7, INVOKED), (8, INVOKED)], [(7, "gap")]),
    ],
)
def test_where_lives_begin_and_end(found: list[tuple[int, e.Entry]], problems: list[tuple[int, str]]) -> None:
    """A life begins with Created at 1 or after a Removed, is dense, and only its Removed stays."""
    assert judge(*found) == problems


def test_nothing_of_a_dead_life_can_be_referred_to() -> None:
    """A later life's entries refer to nothing before their own Created."""
    found = judge(
        (4, e.Removed(5, CREATED.worker_id, "")),
        (5, CREATED),
        (6, e.Errored(5, index(4), 1, "", "", None)),
        (7, e.Applied(5, index(5))),
    )

    assert found == [(6, "reference")]


def test_a_lost_entry_is_not_blamed_on_others() -> None:
    """After an unreadable entry, references that may be to it are not judged; what happens twice still is."""
    life = Life()
    life.admit(1, CREATED)
    life.admit(2, INVOKED)
    life.lose(3)
    assert life.admit(4, e.Ended(5, index(3), e.Value(b"1")))[1] == []
    life.admit(5, e.Started(5, index(2), e.Run("x")))
    life.admit(6, e.Ended(5, index(5), e.Value(b"1")))

    assert [kind for kind, _ in life.admit(7, e.Ended(5, index(5), e.Value(b"1")))[1]] == ["twice"]


def test_time_may_stand_still_but_not_go_back() -> None:
    """Equal timestamps are fine, an earlier one is not, and the latest is what counts."""
    logged = [e.Logged(time, "info", "") for time in (5, 5, 9, 7, 8, 9)]

    assert from_first(CREATED, *logged) == [(5, "time"), (6, "time")]


@given(data=st.data())
def test_any_order_of_entries_is_judged(any_entry: st.SearchStrategy[e.Entry], data: st.DataObject) -> None:
    """Any entries in any order lead to problems of known kinds and never to an error."""
    life = Life()
    for place in range(1, 8):
        entry = data.draw(any_entry | st.just(CREATED) | st.just(INVOKED))
        start, problems = life.admit(place, entry)
        assert start is None or type(start) in get_args(e.AnyEntry)
        assert {kind for kind, _ in problems} <= {"gap", "life", "time", "reference", "twice", "open"}
