"""Parameters and results: arrays, objects, paths, and values that come back as they went."""

from __future__ import annotations

import datetime
import enum
from typing import Any

import msgspec
import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from promissory.oplog.errors import BadArguments, BadHandler, TerminalError
from promissory.oplog.ids import PromiseId, WorkerId
from promissory.workers.signature import check_annotation, hints_of, parameters_of, result_of


@define
class Item:
    name: str
    tags: list[str]


class Colour(enum.Enum):
    RED = "red"


class Class:
    def plain(self, item: Item, count: int = 1, *, note: str = "n", colour: Colour = Colour.RED) -> Any: ...

    def required(self, a: int, *, b: int) -> None: ...

    def nothing(self) -> None: ...

    def anything(self, x, y=3): ...  # type: ignore[no-untyped-def]


def parameters(name: str) -> Any:
    method = getattr(Class, name)
    return parameters_of(f"c.{name}", method, hints_of(name, method))


def test_an_array_is_recorded_as_it_is() -> None:
    """The very bytes that came in are what the handler reads in every replay."""
    params = b' [ {"name":"x", "tags":[]} , 2 ] '
    assert parameters("plain").check(params) == params


def test_an_object_becomes_an_array_in_the_order_of_the_signature() -> None:
    """Defaults are filled in only where a later argument is given."""
    p = parameters("plain")
    item = b'{"name":"x","tags":["a"]}'
    assert p.check(b'{"item":' + item + b"}") == b"[" + item + b"]"
    assert p.check(b'{"note":"m","item":' + item + b"}") == b"[" + item + b',1,"m"]'


def test_decoding_gives_what_to_call_with() -> None:
    """Positional and keyword arguments are told apart; what was not given is left to the function."""
    p = parameters("plain")
    assert p.decode(b'[{"name":"x","tags":[]},2,"m"]') == ((Item("x", []), 2), {"note": "m"})
    assert p.decode(b'[{"name":"x","tags":[]}]') == ((Item("x", []),), {})
    assert parameters("required").decode(b"[1,2]") == ((1,), {"b": 2})
    assert parameters("nothing").decode(b"[]") == ((), {})
    assert parameters("anything").decode(b'[{"a":1}]') == (({"a": 1},), {})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (b'[{"name":"x","tags":["a",1]}]', "c.plain: Expected `str`, got `int` - at `$.item.tags[1]`"),
        (b'{"item":{"name":"x","tags":["a",1]}}', "c.plain: Expected `str`, got `int` - at `$.item.tags[1]`"),
        (b'[{"name":"x"}]', "c.plain: Object missing required field `tags` - at `$.item`"),
        (b'[{"name":"x","tags":[]},"2"]', "c.plain: Expected `int`, got `str` - at `$.count`"),
        (b"[]", "c.plain: missing argument `item` - at `$.item`"),
        (b"{}", "c.plain: missing argument `item` - at `$.item`"),
        (b'{"item":1,"size":2}', "c.plain: unknown argument `size` - at `$.size`"),
        (b'[{"name":"x","tags":[]},2,"m","red",5]', "c.plain: unknown argument: it takes 4 - at `$[4]`"),
        (b'"x"', "c.plain: Expected `array`, got `str`"),
        (b"", "c.plain: the arguments are not JSON: Input data was truncated"),
    ],
)
def test_what_does_not_fit_is_refused_with_path_and_type(params: bytes, message: str) -> None:
    """Whatever the form, the path starts with the parameter's name."""
    with pytest.raises(BadArguments) as caught:
        parameters("plain").check(params)
    assert str(caught.value) == message


def test_hostile_nesting_is_refused() -> None:
    """Depth ends in an error, not in the process."""
    with pytest.raises(BadArguments):
        parameters("anything").check(b"[" + b"[" * 100_000 + b"]" * 100_000 + b"]")


@given(st.binary())
def test_any_bytes_are_accepted_or_refused(params: bytes) -> None:
    """Nothing that a stranger sends raises anything else."""
    for name in ("plain", "required", "nothing", "anything"):
        try:
            checked = parameters(name).check(params)
        except BadArguments:
            continue
        assert isinstance(msgspec.json.decode(checked), list)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(json_values)
def test_data_comes_back_as_it_went(value: Any) -> None:
    """Without an annotation results are builtins."""
    result = result_of(Any)
    assert result.decode(result.encode(value)) == value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Item, Item("x", ["y"])),
        (list[Item], [Item("x", [])]),
        (Item | None, None),
        (None, None),
        (bytes, b"\x00\xff"),
        (datetime.datetime, datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC)),
        (Colour, Colour.RED),
        (set[int], {1, 2}),
        (tuple[int, str], (1, "x")),
        (int, -(2**63)),
        (int, 2**70),
        (PromiseId, PromiseId(WorkerId(bytes(16), "w"), 3)),
        (WorkerId, WorkerId(bytes(16), "w")),
    ],
)
def test_annotated_values_come_back_as_their_type(annotation: Any, value: Any) -> None:
    """What the annotation says is what a handler gets, live as in replay."""
    check_annotation("here", annotation)
    result = result_of(annotation)
    assert result.decode(result.encode(value)) == value


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(int, "x"), (str, None), (Any, object()), (Item, {"name": 1}), (Any, "\ud800"), (float, float("nan"))],
)
def test_a_result_that_does_not_fit_is_terminal(annotation: Any, value: Any) -> None:
    """No retry would change it."""
    with pytest.raises(TerminalError, match="the result does not fit"):
        result_of(annotation).encode(value)


def test_recursive_annotations_are_examined_once() -> None:
    """A type that holds itself is fine."""
    check_annotation("here", Tree)
    with pytest.raises(BadHandler, match="`object`"):
        check_annotation("here", dict[str, object])


@pytest.mark.parametrize("shape", ["parameters", "within one"])
def test_two_types_of_one_name_are_refused(shape: str) -> None:
    """Two types that nobody who reads a schema could tell apart are refused where the handler is defined."""
    first, second = (msgspec.defstruct("Thing", [("value", kind)]) for kind in (int, str))
    hints = {"a": first, "b": second} if shape == "parameters" else {"a": dict[str, first] | list[second]}

    def takes(self: Any, a: Any, b: Any = None) -> None: ...

    with pytest.raises(BadHandler, match=r"w\.takes.* two types are named .*\.Thing"):
        parameters_of("w.takes", takes, hints)


@define
class Tree:
    children: list[Tree]
