"""The greeting: one map, which the server says and the client takes; features, and servers that have none."""

from __future__ import annotations

from typing import Any

import pytest

from promissory.executor.protocol import hello as greeting
from promissory.executor.protocol.hello import FEATURES, PROTOCOL, Hello, check_hello, hello
from promissory.executor.version import VERSION
from promissory.oplog.errors import Disconnected, LimitReached

LATER = {("invoke", "colour"): "colours"}
"""A field that a later version adds, and its feature."""


def test_what_a_server_says_is_what_a_client_takes() -> None:
    """Both sides have the greeting from one place: protocol, version, features."""
    said = hello()

    assert said == {"protocol": PROTOCOL, "executor": VERSION, "features": list(FEATURES)}
    assert check_hello("/s", [said]) == Hello(VERSION, frozenset(FEATURES))


def test_features_are_sorted_names() -> None:
    """The list is the same each time, and no feature stands there twice."""
    assert list(FEATURES) == sorted(set(FEATURES))
    assert set(greeting.FIELD_FEATURES.values()) <= set(FEATURES)


@pytest.mark.parametrize("features", [None, "colours", 7, [7, None]])
def test_a_server_that_names_no_features_has_none(features: Any) -> None:
    """An older server says nothing of features; one that says nonsense has none either."""
    said = {"protocol": 1, "executor": "0.1.0"} | ({} if features is None else {"features": features})

    assert check_hello("/s", [said]).features == frozenset()


def test_a_new_field_goes_only_to_a_server_that_knows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field of a feature that the server has not named is left out; all others are sent as they are."""
    monkeypatch.setattr(greeting, "FIELD_FEATURES", LATER)
    fields = {"worker": "a/b", "colour": "red"}

    assert Hello("9", frozenset({"colours"})).fitting("invoke", fields) == fields
    assert Hello("0.1.0", frozenset()).fitting("invoke", fields) == {"worker": "a/b"}
    assert Hello("0.1.0", frozenset()).fitting("query", fields) == fields


@pytest.mark.parametrize(
    ("said", "match"),
    [
        ({"executor": "0.1.0"}, "another protocol is spoken there"),
        ({"protocol": 2, "features": []}, "speaks protocol 2, this version speaks 1"),
    ],
)
def test_another_protocol_is_no_executor(said: dict[str, Any], match: str) -> None:
    """Whoever greets otherwise is not talked to."""
    with pytest.raises(Disconnected, match=match):
        check_hello("/s", [said])


def test_a_server_may_refuse_instead_of_greeting() -> None:
    """One connection too many is refused with the server's own error, and may be tried again."""
    error = {"code": "limit_reached", "message": "64 connections are open", "limit": "capacity"}
    with pytest.raises(LimitReached) as caught:
        check_hello("/s", [{"error": error}])

    assert (caught.value.http_status, caught.value.can_retry) == (503, True)
