"""Our encoder against another's: the same bytes for everything that an entry is made of, and nothing else taken."""

from __future__ import annotations

from typing import Any

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.oplog import entries as e
from promissory.oplog.cbor import dumps
from promissory.oplog.codec import decode_cbor

EDGES = [0, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**64 - 1]

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(VALUES)
def test_values_are_written_as_cbor2_writes_them(value: Any) -> None:
    """Canonical CBOR has one encoding of a value; two encoders agree on it, and it reads back."""
    assert dumps(value) == cbor2.dumps(value, canonical=True)
    assert decode_cbor(dumps(value)) == value


def written(value: Any) -> Any:
    """Return what a value is written as: a struct its tag and fields, but for the defaults at the end."""
    if isinstance(value, tuple):
        return [written(item) for item in value]
    if not isinstance(value, msgspec.Struct):
        return value
    fields = list(msgspec.structs.astuple(value))
    defaults = list(type(value).__struct_defaults__)
    while defaults and fields[-1] == defaults.pop():
        fields.pop()
    tag = type(value).__struct_config__.tag
    return [*([] if tag is None else [tag]), *map(written, fields)]


@given(data=st.data())
def test_entries_are_written_as_cbor2_writes_them(any_entry: st.SearchStrategy[e.Entry], data: st.DataObject) -> None:
    """An entry is the array of its tag and its fields, whatever it holds, but for a default at the end."""
    entry = data.draw(any_entry)

    assert dumps(entry) == cbor2.dumps(written(entry), canonical=True)


class Plain(e.Packed, frozen=True, tag=30):
    one: int
    two: int | None


class Grown(e.Packed, frozen=True, tag=30):
    """`Plain`, when two fields have been added."""

    one: int
    two: int | None
    three: int | None = None
    four: str = "four"


@pytest.mark.parametrize("two", [None, 2])
@pytest.mark.parametrize(
    ("three", "four", "more"),
    [
        (None, "four", []),
        (3, "four", [3]),
        (None, "other", [None, "other"]),
        (3, "other", [3, "other"]),
        (None, "", [None, ""]),
    ],
)
def test_defaults_at_the_end_are_left_out(two: int | None, three: int | None, four: str, more: list[Any]) -> None:
    """Fields with a default are left out from the end up to the first that has another value, the others never."""
    for _ in range(2):  # the first of a kind is written by other lines than the next
        written = dumps([Grown(1, two, three, four), Plain(1, two)])

        assert written == cbor2.dumps([[30, 1, two, *more], [30, 1, two]], canonical=True)
    assert msgspec.convert(decode_cbor(dumps(Grown(1, two, three, four))), Grown) == Grown(1, two, three, four)
    assert msgspec.convert(decode_cbor(dumps(Plain(1, two))), Grown) == Grown(1, two)


@pytest.mark.parametrize("number", [*EDGES, *(-1 - edge for edge in EDGES)])
def test_numbers_at_the_edges_of_their_widths(number: int) -> None:
    """Every number has its shortest form."""
    assert dumps(number) == cbor2.dumps(number, canonical=True)


@pytest.mark.parametrize("size", [0, 23, 24, 255, 256, 65535, 65536])
def test_sizes_at_the_edges_of_their_widths(size: int) -> None:
    """Every length has its shortest form."""
    for value in (b"x" * size, "x" * size, [0] * size, {str(number): 0 for number in range(size)}):
        assert dumps(value) == cbor2.dumps(value, canonical=True)


@pytest.mark.parametrize("value", [1.5, {1, 2}, object(), bytearray(b"x"), [0.0], {"a": 1.0}])
def test_nothing_else_is_taken(value: object) -> None:
    """What has no place in an entry is refused, not written somehow."""
    with pytest.raises(TypeError, match="has no place"):
        dumps(value)


@pytest.mark.parametrize("number", [2**64, -(2**64) - 1])
def test_numbers_that_need_a_tag_are_refused(number: int) -> None:
    """A number that CBOR could only write with a tag, which no reader takes, is not written."""
    with pytest.raises(OverflowError):
        dumps(number)
