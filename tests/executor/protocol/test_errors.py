"""Errors on the wire: what is raised in the executor is raised in the client."""

from __future__ import annotations

from typing import Any

import pytest

from promissory.executor.protocol.errors import error_from_wire, error_to_wire
from promissory.executor.protocol.frames import FrameReader, MalformedFrame, encode_frame
from promissory.oplog import errors
from promissory.oplog.errors import NonDeterminismError, NotFound, Paused, PromissoryError, TerminalError, TimedOut


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
        "worker": "a/b",
        "index": 7,
        "expected": "run x",
        "found": "sleep",
    }
    found = error_from_wire(wire)
    assert (found.worker, found.index, found.expected, found.found) == ("a/b", 7, "run x", "sleep")
    assert error_to_wire(NotFound("gone")) == {"code": "not_found", "message": "gone"}


def test_a_terminal_error_keeps_its_status() -> None:
    """The code of a terminal error travels as `status`, the invocation beside it."""
    wire = error_to_wire(TerminalError("no stock", 409), invocation="inv_1x")

    assert wire == {"code": "terminal", "message": "no stock", "status": 409, "invocation": "inv_1x"}
    found = error_from_wire(wire)
    assert isinstance(found, TerminalError)
    assert found.code == 409


def test_timed_out_is_a_timeout_error_on_both_sides() -> None:
    """A client catches a deadline as Python's own `TimeoutError`."""
    assert isinstance(error_from_wire(error_to_wire(TimedOut("too late"))), TimeoutError)


def test_a_code_of_a_later_version_is_still_an_error_of_ours() -> None:
    """An unknown code gives the root of the tree, with the message."""
    found = error_from_wire({"code": "eaten_by_a_bear", "message": "sorry"})

    assert PromissoryError is type(found)
    assert str(found) == "sorry"


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
