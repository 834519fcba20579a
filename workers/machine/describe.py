"""Entries in one short line, for messages that compare what is recorded with what the code does."""

from __future__ import annotations

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
    Request,
    Run,
    Send,
    SettleAwakeable,
    Sleep,
    Started,
    Value,
)
from promissory.oplog.errors import NewerFormat, NonDeterminismError
from promissory.oplog.ids import OplogIndex, WorkerId

_TEXT_MAX = 80


def describe(entry: Entry) -> str:
    """Return an entry's kind and what distinguishes it from others of its kind, cut short."""
    if isinstance(entry, Started):
        return f"Started({describe_request(entry.request)})"
    if isinstance(entry, Abandoned):
        return f"Abandoned(start={entry.start})"
    if isinstance(entry, Completed):
        return f"Completed(invocation={entry.invocation}, {describe_outcome(entry.outcome)})"
    return type(entry).__name__


def describe_request(request: Request) -> str:
    """Return a host call with its arguments."""
    match request:
        case Run(name=name):
            return f"run {cut(name)}"
        case Sleep(duration_us=duration_us):
            return f"sleep {duration_us} µs"
        case AwaitPromise() | PollPromise() | CompletePromise() | RejectPromise():
            owner = "" if request.owner is None else f"{request.owner}/"
            return f"{request.call} {owner}{request.promise}{_given(request)}"
        case SettleAwakeable(awakeable=awakeable, outcome=outcome):
            return f"settle_awakeable {cut(awakeable)} with {describe_outcome(outcome)}"
        case NamedPromise():
            until = "" if request.due is None else f", due at {request.due} µs"
            return f"durable_promise {cut(repr(request.name))}{until}{'' if request.creates else ', if it is there'}"
        case Call() | Send() | Ask():
            due = f", due at {request.due} µs" if isinstance(request, Send) and request.due is not None else ""
            params = cut(request.params.decode(errors="backslashreplace"))
            return f"{request.call} {request.worker} {cut(request.function)} {params}{due}"
        case DeletePromise(promise=promise):
            return f"delete_promise {promise}"
        case CreatePromise(timeout_us=None):
            return "create_promise"
        case CreatePromise(timeout_us=timeout_us):
            return f"create_promise, at most {timeout_us} µs"


def _given(request: Request) -> str:
    """Return what a promise is to be settled with."""
    match request:
        case CompletePromise(payload=payload):
            return f" with {cut(repr(payload))}"
        case RejectPromise(reason=reason):
            return f" with {cut(repr(reason))}"
    return ""


def describe_outcome(outcome: Value | Failure) -> str:
    """Return an outcome, its value or its error's kind and message."""
    if isinstance(outcome, Failure):
        return f"{outcome.kind} error {cut(repr(outcome.message))}"
    return f"value {'none' if outcome.data is None else cut(outcome.data.decode(errors='backslashreplace'))}"


def divergence(worker: WorkerId, index: OplogIndex, expected: str, found: str) -> NonDeterminismError:
    """Return the error of a replay that differs from the record, both described."""
    return NonDeterminismError(
        f"{worker} at index {index}: the record has {expected}, the code does {found}",
        worker=str(worker),
        index=index,
        expected=expected,
        found=found,
    )


def unplayable(worker: WorkerId, index: OplogIndex, entry: Entry) -> NewerFormat:
    """Return the error of an entry of a kind that this version cannot play."""
    return NewerFormat(
        f"{worker} at index {index}: {type(entry).__name__} cannot be replayed by this version",
        worker=str(worker),
        index=index,
    )


def cut(text: str) -> str:
    """Cut a text to what fits into a message."""
    return text if len(text) <= _TEXT_MAX else text[: _TEXT_MAX - 1] + "…"
