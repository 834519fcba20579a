"""Errors on the wire: what is raised in the executor is raised in the client."""

from __future__ import annotations

from typing import Any

import pytest

from promissory.executor.protocol.errors import error_from_wire, error_to_wire
from promissory.executor.protocol.frames import FrameReader, MalformedFrame, encode_frame
from promissory.oplog import errors
from promissory.oplog.errors import (
    LIMIT_KINDS,
    CallError,
    LimitKind,
    LimitReached,
    NonDeterminismError,
    NotFound,
    OplogError,
    Paused,
    PromissoryError,
    RequestError,
    TerminalError,
    TimedOut,
)


def subclasses(cls: type[PromissoryError]) -> list[type[PromissoryError]]:
    return [cls, *(found for child in cls.__subclasses__() for found in subclasses(child))]


TREE = [cls for cls in subclasses(PromissoryError) if cls.__module__ == errors.__name__]


def test_kinds_are_unique() -> None:
    """A code on the wire names one class."""
    kinds = [cls.kind for cls in [*TREE, MalformedFrame]]

    assert len(kinds) == len(set(kinds))


@pytest.mark.parametrize("cls", [*TREE, MalformedFrame])
def test_every_error_of_the_tree_comes_back_as_itself(cls: type[PromissoryError]) -> None:
    """Each class of the tree survives the trip through a frame, with its message."""
    (wire,) = FrameReader().feed(encode_frame(error_to_wire(cls("it went wrong"))))
    found = error_from_wire(wire)

    assert cls is type(found)
    assert str(found) == "it went wrong"


def test_the_context_of_an_error_travels() -> None:
    """Worker, index, expected and found arrive; what there is none of is left out."""
    wire = error_to_wire(NonDeterminismError("differs", worker="a/b", index=7, expected="run x", found="sleep"))

    assert wire == {
        "code": "non_determinism",
        "message": "differs",
        "families": ["worker_error"],
        "worker": "a/b",
        "index": 7,
        "expected": "run x",
        "found": "sleep",
    }
    found = error_from_wire(wire)
    assert (found.worker, found.index, found.expected, found.found) == ("a/b", 7, "run x", "sleep")
    assert error_to_wire(NotFound("gone")) == {"code": "not_found", "message": "gone", "families": ["request_error"]}


def test_a_terminal_error_keeps_its_status() -> None:
    """The code of a terminal error travels as `status`, the invocation beside it."""
    wire = error_to_wire(TerminalError("no stock", 409), invocation="inv_1x")

    assert wire == {
        "code": "terminal",
        "message": "no stock",
        "families": ["worker_error"],
        "status": 409,
        "invocation": "inv_1x",
    }
    found = error_from_wire(wire)
    assert isinstance(found, TerminalError)
    assert (found.code, found.invocation) == (409, "inv_1x")


@pytest.mark.parametrize("limit", LIMIT_KINDS)
def test_a_limit_keeps_its_kind(limit: LimitKind) -> None:
    """Which kind of limit was reached arrives, and with it the HTTP status and whether asking again can help."""
    sent = LimitReached("too much", limit)
    found = error_from_wire(error_to_wire(sent))

    assert isinstance(found, LimitReached)
    assert (found.limit, found.http_status, found.can_retry) == (limit, sent.http_status, sent.can_retry)


@pytest.mark.parametrize("limit", [None, "colour", 7, ["rate"]])
def test_a_kind_of_limit_of_a_later_version_is_still_a_limit(limit: object) -> None:
    """A limit of an unknown kind, or of none, is one of size, which nobody tries again."""
    found = error_from_wire({"code": "limit_reached", "message": "too much", "limit": limit})

    assert isinstance(found, LimitReached)
    assert (found.limit, found.can_retry) == ("size", False)


def test_timed_out_is_a_timeout_error_on_both_sides() -> None:
    """A client catches a deadline as Python's own `TimeoutError`."""
    assert isinstance(error_from_wire(error_to_wire(TimedOut("too late"))), TimeoutError)


def test_a_code_of_a_later_version_is_still_an_error_of_ours() -> None:
    """An unknown code gives the root of the tree, with the message."""
    found = error_from_wire({"code": "eaten_by_a_bear", "message": "sorry"})

    assert PromissoryError is type(found)
    assert str(found) == "sorry"


@pytest.mark.parametrize(
    ("families", "cls"),
    [
        (["call", "terminal", "worker_error"], CallError),
        (["eaten_by_a_fox", "terminal", "worker_error"], TerminalError),
        (["limit_reached", "request_error"], LimitReached),
        (["oplog_error"], OplogError),
        ([7, None, "request_error"], RequestError),
        ("terminal", PromissoryError),
        (7, PromissoryError),
    ],
)
def test_a_code_of_a_later_version_is_of_its_nearest_family(families: object, cls: type[PromissoryError]) -> None:
    """An unknown code gives the nearest class that is known, and so the statuses of that."""
    found = error_from_wire({"code": "eaten_by_a_bear", "message": "sorry", "families": families, "status": 404})

    assert cls is type(found)
    assert found.http_status == (404 if issubclass(cls, TerminalError) else cls("").http_status)


@pytest.mark.parametrize(
    "wire",
    [
        {},
        {"code": 7},
        {"code": ["not_found"]},
        {"code": "terminal", "message": 3, "status": "many"},
        {"code": "paused", "message": None, "worker": 1, "index": True, "expected": b"", "found": []},
    ],
)
def test_a_malformed_error_is_still_an_error(wire: dict[str, Any]) -> None:
    """Whatever stands in an error's map, an error comes out of it and never another."""
    found = error_from_wire(wire)

    assert isinstance(found, PromissoryError)
    assert str(found)
    assert (found.worker, found.index, found.expected, found.found) == (None, None, None, None)


def test_paused_is_told_apart() -> None:
    """Whoever waits can tell a paused worker from a failed invocation by the class."""
    assert isinstance(error_from_wire({"code": "paused", "message": "the worker is paused"}), Paused)
