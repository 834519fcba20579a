"""Entries in one line."""

from __future__ import annotations

import pytest

from promissory.oplog.entries import (
    Abandoned,
    Ask,
    AwaitPromise,
    Call,
    Completed,
    CompletePromise,
    CreatePromise,
    DeletePromise,
    Entry,
    Failure,
    NamedPromise,
    PollPromise,
    RejectPromise,
    Resumed,
    Run,
    Send,
    SettleAwakeable,
    Sleep,
    Started,
    Value,
)
from promissory.oplog.ids import ComponentId, WorkerId
from promissory.workers.machine.describe import describe

OTHER = WorkerId(ComponentId(bytes(16)), "o")


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        (Started(1, 2, Run("charge")), "Started(run charge)"),
        (Started(1, 2, Sleep(5)), "Started(sleep 5 µs)"),
        (Started(1, 2, CreatePromise(None)), "Started(create_promise)"),
        (Started(1, 2, CreatePromise(5)), "Started(create_promise, at most 5 µs)"),
        (Started(1, 2, AwaitPromise(None, 3)), "Started(await_promise 3)"),
        (Started(1, 2, PollPromise(OTHER, 3)), f"Started(poll_promise {OTHER}/3)"),
        (Started(1, 2, CompletePromise(None, 3, b"x")), "Started(complete_promise 3 with b'x')"),
        (Started(1, 2, DeletePromise(3)), "Started(delete_promise 3)"),
        (Started(1, 2, Call(OTHER, "add", b"[3]")), f"Started(invoke_and_await {OTHER} add [3])"),
        (Started(1, 2, Send(OTHER, "add", b"[]", None)), f"Started(invoke {OTHER} add [])"),
        (Started(1, 2, Send(OTHER, "add", b"[]", 5)), f"Started(invoke {OTHER} add [], due at 5 µs)"),
        (Started(1, 2, Ask(OTHER, "total", b"[]")), f"Started(ask {OTHER} total [])"),
        (Started(1, 2, RejectPromise(OTHER, 3, "no")), f"Started(reject_promise {OTHER}/3 with 'no')"),
        (Started(1, 2, SettleAwakeable("prom_1x", Value(b"3"))), "Started(settle_awakeable prom_1x with value 3)"),
        (
            Started(1, 2, SettleAwakeable("prom_1x", Failure("rejected", "no", 500))),
            "Started(settle_awakeable prom_1x with rejected error 'no')",
        ),
        (Started(1, 2, NamedPromise("release", None, True)), "Started(durable_promise 'release')"),
        (Started(1, 2, NamedPromise("release", 5, True)), "Started(durable_promise 'release', due at 5 µs)"),
        (Started(1, 2, NamedPromise("release", None, False)), "Started(durable_promise 'release', if it is there)"),
        (Abandoned(1, 7), "Abandoned(start=7)"),
        (Completed(1, 2, Value(b"3")), "Completed(invocation=2, value 3)"),
        (Completed(1, 2, Value(None)), "Completed(invocation=2, value none)"),
        (Completed(1, 2, Failure("terminal", "no", 500)), "Completed(invocation=2, terminal error 'no')"),
        (Resumed(1, "me"), "Resumed"),
    ],
)
def test_a_line_tells_what_distinguishes_an_entry(entry: Entry, line: str) -> None:
    """Expected and found can be compared at a glance."""
    assert describe(entry) == line


def test_lines_are_cut_short() -> None:
    """A payload of megabytes does not become a message."""
    assert len(describe(Completed(1, 2, Value(b"x" * 10_000)))) < 150
