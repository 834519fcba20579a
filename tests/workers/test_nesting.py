"""How deep JSON is nested, and that what is nested too deeply crosses no border of a worker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.oplog.errors import BadArguments, TerminalError
from promissory.workers.nesting import NESTING_MAX, encode, nested_too_deep
from promissory.workers.promises import Payload
from promissory.workers.signature import hints_of, parameters_of, result_of


class Class:
    def take(self, value: Any, *, note: Any = None) -> Any: ...


def nested(depth: int, within: str = "") -> bytes:
    return f"{'[' * depth}{within}{']' * depth}".encode()


def built(depth: int) -> Any:
    value: Any = "leaf"
    for _ in range(depth):
        value = [value]
    return value


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth_of, value.values()), default=0)
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


_VALUES = st.recursive(
    st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.text(alphabet='[]{}"\\,:a\u00e9\n'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='[{"\\'), inner),
    max_leaves=30,
)


@given(_VALUES, st.integers(0, 6), st.sampled_from([None, 1]), st.booleans())
def test_the_depth_is_that_of_the_value(value: Any, most: int, indent: int | None, ascii_only: bool) -> None:
    """However it is written, and whatever brackets, quotes and backslashes its strings hold."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    depth = depth_of(value)
    assert nested_too_deep(text, most) == (depth if depth > most else 0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (nested(NESTING_MAX), 0),
        (nested(NESTING_MAX + 1), NESTING_MAX + 1),
        (b'{"a":' * NESTING_MAX + b"[]" + b"}" * NESTING_MAX, NESTING_MAX + 1),
        (b"[" + b"[]," * 10_000 + b"[]]", 0),
        (b'["' + b"[" * 1_000 + b'"]', 0),
        (b'["\\"' + b"[" * 1_000 + b'"]', 0),
        (b'["\\\\",' + b"[" * 1_000, 1_001),
        (b'["\\\\\\"' + b"{" * 1_000 + b'\\\\"]', 0),
        (b'["' + b"[" * 1_000, 0),
        (b"[" * 1_000_000, 1_000_000),
        (b"]" * 1_000, 0),
        (b"", 0),
    ],
)
def test_only_brackets_outside_of_strings_count(text: bytes, found: int) -> None:
    """Brackets side by side, and those within strings, nest nothing; what is cut off counts as far as it goes."""
    assert nested_too_deep(text) == found


@pytest.mark.parametrize("form", [b"[%b]", b'{"value":%b}', b' \n[%b,"[[["]', b'{"note":1,"value":%b}'])
def test_deep_arguments_are_refused_at_the_door(form: bytes) -> None:
    """The limit is that of each argument, in an array or by name; the message has what was found and the limit."""
    parameters = parameters_of("c.take", Class.take, hints_of("c.take", Class.take))
    positional, _ = parameters.decode(parameters.check(form % nested(NESTING_MAX)))
    assert depth_of(positional[0]) == NESTING_MAX
    for depth in (NESTING_MAX + 1, 965, 100_000):
        with pytest.raises(BadArguments, match=f"^c.take: an argument is nested {depth} deep, the limit is 128$"):
            parameters.check(form % nested(depth))


@pytest.mark.parametrize("depth", [NESTING_MAX + 1, 900, 2_000])
def test_deep_values_are_not_written(depth: int) -> None:
    """The error is the same whether or not the interpreter could have written the value."""
    parameters = parameters_of("c.take", Class.take, hints_of("c.take", Class.take))
    too_deep = f"nested more than {NESTING_MAX} deep$"
    with pytest.raises(ValueError, match=too_deep):
        encode(built(depth))
    with pytest.raises(BadArguments, match=too_deep):
        parameters.encode((built(depth),), {})
    with pytest.raises(TerminalError, match=too_deep):
        result_of(Any).encode(built(depth))
    with pytest.raises(TerminalError, match=too_deep):
        Payload(Any).encode(built(depth))


def test_what_comes_in_can_go_out() -> None:
    """An argument at the limit can be passed on, returned, and settle a promise."""
    parameters = parameters_of("c.take", Class.take, hints_of("c.take", Class.take))
    value = built(NESTING_MAX)
    assert parameters.check(parameters.encode((value,), {"note": value}))
    assert result_of(Any).decode(result_of(Any).encode(value)) == value
    assert Payload(Any).decode(Payload(Any).encode(value)) == value


@pytest.mark.parametrize("depth", [NESTING_MAX + 1, 900, 2_000])
def test_deep_payloads_are_not_read(depth: int) -> None:
    """A promise that was settled with any bytes fails the await, near the end of the stack and past it alike."""
    with pytest.raises(TerminalError, match=f"does not fit `Any`: nested {depth} deep, the limit is 128$"):
        Payload(Any).decode(nested(depth))
