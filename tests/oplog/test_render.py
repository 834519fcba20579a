"""Entries as JSON: complete, readable, and nothing lost but the seed."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.oplog import entries as e
from promissory.oplog.ids import ComponentId, OplogIndex, WorkerId
from promissory.oplog.render import render, rfc3339

WORKER = WorkerId(ComponentId(bytes(16)), "a/b")
SEED = bytes(range(32))


@given(data=st.data())
def test_everything_is_shown(any_entry: st.SearchStrategy[e.Entry], data: st.DataObject) -> None:
    """Every entry becomes JSON that begins with index, kind and timestamp and has every field by its name."""
    entry = data.draw(any_entry)
    shown = render(7, entry)

    assert list(shown)[:3] == ["index", "kind", "timestamp"]
    assert json.loads(msgspec.json.encode(shown))["kind"] == type(entry).__name__
    fields = [*entry.__struct_fields__[1:]]
    if isinstance(entry, e.Started):
        fields = ["invocation", "call", *entry.request.__struct_fields__]
    assert list(shown)[3:] == fields


def _bytes_of(shown: dict[str, Any]) -> bytes:
    if "value" in shown:
        return msgspec.json.encode(shown["value"])
    return shown["text"].encode() if "text" in shown else base64.b64decode(shown["base64"])


@given(
    st.binary() | st.text().map(str.encode) | st.recursive(st.integers() | st.text(), st.lists).map(msgspec.json.encode)
)
def test_outcomes_lose_nothing(data: bytes) -> None:
    """The bytes of an outcome or payload can be had again from what is shown."""
    outcome = e.Value(data)

    assert _bytes_of(render(4, e.Ended(5, OplogIndex(3), outcome))["outcome"]) == data
    assert _bytes_of(render(4, e.Completed(5, OplogIndex(3), outcome))["outcome"]) == data
    assert _bytes_of(render(4, e.Settled(5, OplogIndex(3), outcome, ""))["outcome"]) == data
    assert (
        _bytes_of(render(4, e.Started(5, OplogIndex(3), e.CompletePromise(None, OplogIndex(2), data)))["payload"])
        == data
    )


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        (
            e.SettleAwakeable("prom_1x", e.Value(b"1")),
            {"call": "settle_awakeable", "awakeable": "prom_1x", "outcome": {"text": "1"}},
        ),
        (
            e.SettleAwakeable("prom_1x", e.Failure("rejected", "no", 500)),
            {
                "call": "settle_awakeable",
                "awakeable": "prom_1x",
                "outcome": {"error": {"kind": "rejected", "message": "no", "code": 500}},
            },
        ),
        (
            e.RejectPromise(WORKER, OplogIndex(1), "no"),
            {
                "call": "reject_promise",
                "owner": "00000000-0000-0000-0000-000000000000/a%2Fb",
                "promise": 1,
                "reason": "no",
            },
        ),
        (
            e.NamedPromise("release", 0, True),
            {"call": "durable_promise", "name": "release", "due": "1970-01-01T00:00:00.000000Z", "creates": True},
        ),
        (
            e.NamedPromise("release", None, False),
            {"call": "durable_promise", "name": "release", "due": None, "creates": False},
        ),
    ],
)
def test_calls_on_promises_of_others_are_shown_as_they_read(request_: e.Request, shown: dict[str, Any]) -> None:
    """What settles an awakeable or a durable promise is shown as a payload, deadlines as times."""
    found = render(4, e.Started(5, OplogIndex(3), request_))

    assert dict(list(found.items())[3:]) == {"invocation": 3, **shown}


def test_the_seed_is_masked() -> None:
    """The seed of a worker is never shown."""
    shown = render(1, e.Created(5, WORKER, 1, b"[]", {}, WORKER, SEED))

    assert shown["seed"] == "***"
    assert shown["worker_id"] == shown["parent"] == "00000000-0000-0000-0000-000000000000/a%2Fb"
    assert "BAUG" not in json.dumps(shown)


@pytest.mark.parametrize(
    ("timestamp_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1_767_225_600_000_001, "2026-01-01T00:00:00.000001Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        (253_402_300_800_000_000, "253402300800000000"),
        (2**63 - 1, "9223372036854775807"),
    ],
)
def test_times(timestamp_us: int, text: str) -> None:
    """Times are RFC 3339 to the microsecond; one that no calendar holds is shown as it is."""
    assert rfc3339(timestamp_us) == text


@pytest.mark.parametrize(
    ("outcome", "shown"),
    [
        (e.Value(b'{"a":1}'), {"value": {"a": 1}}),
        (e.Value(b"null"), {"value": None}),
        (e.Value(None), {"nothing": True}),
        (e.Value(b""), {"text": ""}),
        (e.Value(b'{"a": 1}'), {"text": '{"a": 1}'}),
        (e.Value(b'{"a":1,"a":2}'), {"text": '{"a":1,"a":2}'}),
        (e.Value(b"\xff"), {"base64": "/w=="}),
        (e.Failure("terminal", "no", 500), {"error": {"kind": "terminal", "message": "no", "code": 500}}),
        (e.SameAs(OplogIndex(2)), {"same_as": 2}),
    ],
)
def test_outcomes(outcome: e.Value | e.Failure | e.SameAs, shown: dict[str, Any]) -> None:
    """An outcome is JSON where that is exact, else text, else base64; an error and a reference say so."""
    assert render(4, e.Ended(5, OplogIndex(3), outcome))["outcome"] == shown


def test_arguments_are_shown_as_they_read() -> None:
    """Arguments that are JSON are shown parsed, others as base64."""
    invoked = e.Invoked(5, "f", b'[ {"a": 1} ]', None, WORKER, OplogIndex(3), (WORKER,), 0)
    shown = render(2, invoked)

    assert shown["params"] == [{"a": 1}]
    assert shown["chain"] == [shown["caller"]]
    assert shown["due"] == "1970-01-01T00:00:00.000000Z"
    assert render(9, e.Snapshotted(5, 1, b"\x00"))["state"] == "AA=="


@pytest.mark.parametrize(
    ("request_", "shown"),
    [
        (e.Call(WORKER, "f", b'[ {"a": 1} ]'), {"call": "invoke_and_await", "params": [{"a": 1}]}),
        (e.Send(WORKER, "f", b"[]", 0), {"call": "invoke", "params": [], "due": "1970-01-01T00:00:00.000000Z"}),
        (e.Send(WORKER, "f", b"\x00", None), {"call": "invoke", "params": "AA==", "due": None}),
        (e.Ask(WORKER, "f", b"[1]"), {"call": "ask", "params": [1]}),
    ],
)
def test_calls_of_other_workers_are_shown_as_they_read(request_: e.Request, shown: dict[str, Any]) -> None:
    """A call shows whom it calls by the text of the worker, its arguments as JSON and its time as a time."""
    found = render(4, e.Started(5, OplogIndex(3), request_))

    worker = "00000000-0000-0000-0000-000000000000/a%2Fb"
    assert dict(list(found.items())[3:]) == {"invocation": 3, "worker": worker, "function": "f", **shown}


def test_the_retention_of_an_ephemeral_worker_is_shown() -> None:
    """How long an ephemeral worker is kept is a duration in microseconds; other invocations show that there is none."""
    ephemeral = e.Invoked(5, "f", b"[]", "k", None, None, (), None, 7_000_000)

    assert render(2, ephemeral)["retention_us"] == 7_000_000
    assert render(2, msgspec.structs.replace(ephemeral, retention_us=None))["retention_us"] is None


def test_a_payload_is_never_taken_for_json() -> None:
    """A promise's payload is bytes: digits stay text."""
    assert render(4, e.Settled(5, OplogIndex(3), e.Value(b"1"), "cli"))["outcome"] == {"text": "1"}
