"""JSON Schemas of annotations: dates and times are told from texts, wherever they are."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, NamedTuple, Optional

import attrs
import msgspec
import pytest

from promissory.workers.schema import json_schema

Local = Annotated[datetime.datetime, msgspec.Meta(tz=False)]
Zoned = Annotated[datetime.datetime, msgspec.Meta(tz=True, description="d")]
MOMENT = {"type": "string", "format": "date-time"}


class Cat(msgspec.Struct, tag=True):
    at: datetime.datetime
    friend: Cat | Dog | None = None


class Dog(msgspec.Struct, tag=True):
    at: datetime.time


class Row(msgspec.Struct, array_like=True, tag=True):
    at: datetime.datetime
    rest: list[Row]


class Pair(NamedTuple):
    a: datetime.datetime
    b: int = 1


@attrs.define
class Meeting:
    starts: datetime.datetime
    agenda: dict[str, Meeting]
    ends: datetime.datetime | None = None


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (datetime.datetime, MOMENT),
        (Zoned, {**MOMENT, "description": "d"}),
        (Local, {"type": "string", "format": "date-time-local"}),
        (datetime.time, {"type": "string", "format": "time"}),
        (Annotated[datetime.time, msgspec.Meta(tz=False)], {"type": "string", "format": "partial-time"}),
        (list[datetime.datetime], {"type": "array", "items": MOMENT}),
        (dict[str, datetime.datetime], {"type": "object", "additionalProperties": MOMENT}),
        (Optional[datetime.datetime], {"anyOf": [MOMENT, {"type": "null"}]}),  # noqa: UP045
        (int | datetime.datetime | None, {"anyOf": [{"type": "integer"}, MOMENT, {"type": "null"}]}),
        (str, {"type": "string"}),
        (Any, {}),
        (list, {"type": "array"}),
        (dict, {"type": "object"}),
        (tuple[()], {"type": "array", "minItems": 0, "maxItems": 0}),
        (
            Annotated[datetime.datetime, msgspec.Meta(extra_json_schema={"format": "mine"})],
            {**MOMENT, "format": "mine"},
        ),
        (Annotated[Any, msgspec.Meta(extra_json_schema={"$ref": "elsewhere"})], {"$ref": "elsewhere"}),
    ],
)
def test_a_date_is_no_text(annotation: Any, schema: dict[str, Any]) -> None:
    """A format tells what is a date or a time; what has none is as msgspec tells it."""
    assert json_schema(annotation) == schema


def test_fixed_items_of_a_tuple() -> None:
    """Each item of a tuple has its own format."""
    assert json_schema(tuple[int, datetime.datetime])["prefixItems"] == [{"type": "integer"}, MOMENT]


@pytest.mark.parametrize(
    "annotation", [Cat | Dog, Cat | Dog | None, int | Cat | Dog, None | Cat | Dog | int, Cat | None, Cat | int]
)
def test_members_of_a_union(annotation: Any) -> None:
    """The classes of a union are gone into, however msgspec orders its members."""
    defs = json_schema(annotation)["$defs"]

    assert defs["Cat"]["properties"]["at"] == MOMENT
    assert defs["Dog"]["properties"]["at"] == {"type": "string", "format": "time"}


def test_classes_that_hold_themselves() -> None:
    """A class is gone through once."""
    properties = json_schema(Meeting)["$defs"]["Meeting"]["properties"]

    assert properties["starts"] == MOMENT
    assert properties["ends"]["anyOf"][0] == MOMENT
    assert json_schema(Row)["$defs"]["Row"]["prefixItems"][:2] == [{"enum": ["Row"]}, MOMENT]
    assert json_schema(list[Pair])["$defs"]["Pair"]["prefixItems"][0] == MOMENT
