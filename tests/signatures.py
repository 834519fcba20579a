"""Worker classes of whatever signature, and values that fit them, for tests of what is told of a worker."""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import itertools
import sys
import uuid
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict

import attrs
import msgspec
from hypothesis import strategies as st

import promissory

_counter = itertools.count()


class Color(enum.Enum):
    RED = "red"
    DARK_GREEN = "dark-green"
    FOURTH = "4th"
    NOTHING = ""


class Level(enum.IntEnum):
    LOW = 1
    LOWER = -1


@attrs.define
class Item:
    '''An item, "priced".

    Indented, with a \\ and """quotes""".
    '''

    sku: str
    price: decimal.Decimal = decimal.Decimal("1.50")
    tags: list[str] = attrs.field(factory=list)
    seen: set[str] = attrs.field(factory=set)
    parts: dict[str, Item] = attrs.field(factory=dict)
    color: Color = Color.DARK_GREEN
    near: tuple[Color, ...] = (Color.RED, Color.FOURTH)
    note: str | None = None
    made: datetime.date = attrs.field(factory=lambda: datetime.date(2026, 1, 2))


class Cat(msgspec.Struct, tag="cat"):
    name: str
    friend: Cat | Dog | None = None


class Dog(msgspec.Struct, tag="dog"):
    bark: str = msgspec.field(name="bark-as")


class Point(NamedTuple):
    x: float
    y: float = 0.5


class Row(msgspec.Struct, array_like=True):
    key: str
    rest: list[Row] = []


Loose = TypedDict("Loose", {"class": int, "a b": str, "x": int}, total=False)


class Other(TypedDict):
    name: str
    Row: Item


NAMES = st.sampled_from(
    ["a", "b", "Item", "list", "str", "dict", "datetime", "enum", "promissory", "define", "field", "Any", "_x", "x"]
)
KEYS = st.one_of(NAMES, st.sampled_from(["class", "a-b", "a b", "__y", "self", "", "ﬁ", "1", "_1", "list_", "ä"]))
TITLES = st.sampled_from(["Order", "Order2", "Item", "list", "Any", "Literal", "F0", "_Hidden", "Worker0", "datetime"])
TEXTS = st.text(max_size=8)
Shape = tuple[Any, st.SearchStrategy[Any]]
"""An annotation, and values of it as JSON has them."""

LEAVES: list[Shape] = [
    (Any, st.one_of(st.none(), st.integers(-5, 5), TEXTS)),
    (bool, st.booleans()),
    (int, st.integers(-(2**40), 2**40)),
    (float, st.floats(-1e9, 1e9)),
    (str, TEXTS),
    (bytes, st.binary(max_size=4).map(lambda data: msgspec.to_builtins(data))),
    (Annotated[int, msgspec.Meta(ge=0, description="d")], st.integers(0, 9)),
    (Annotated[str, msgspec.Meta(max_length=4, pattern="^x*$")], st.sampled_from(["", "x"])),
    (datetime.date, st.dates().map(str)),
    (Annotated[datetime.datetime, msgspec.Meta(tz=False)], st.just("2026-01-02T03:04:05")),
    (datetime.time, st.just("03:04:05.5Z")),
    (datetime.datetime, st.sampled_from(["2026-01-02T03:04:05", "2026-01-02T03:04:05Z"])),
    (Annotated[datetime.datetime, msgspec.Meta(tz=True)], st.just("2026-01-02T03:04:05.000006+01:00")),
    (Annotated[datetime.time, msgspec.Meta(tz=False)], st.times().map(str)),
    (datetime.timedelta, st.just("P1DT2S")),
    (uuid.UUID, st.uuids().map(str)),
    (decimal.Decimal, st.decimals(-9, 9, places=2).map(str)),
    (Color, st.sampled_from([color.value for color in Color])),
    (Level, st.sampled_from([1, -1])),
    (Literal["a", "b'\"", 3], st.sampled_from(["a", "b'\"", 3])),
    (Item, st.just({"sku": "x"})),
    (Cat | Dog, st.sampled_from([{"type": "dog", "bark-as": "w"}, {"type": "cat", "name": "c"}])),
    (Point, st.sampled_from([[1.0], [1.0, 2.0]])),
    (Row, st.sampled_from([["a"], ["a", [["b", []]]]])),
    (None, st.none()),
]


@st.composite
def classes(draw: st.DrawFn, inner: st.SearchStrategy[Shape]) -> Shape:
    kind = draw(st.sampled_from(["attrs", "struct", "typed dict"]))
    title = draw(TITLES)
    keys = draw(st.lists(NAMES if kind == "attrs" else KEYS, unique=True, max_size=4))
    if kind == "attrs" and {"x", "_x"} <= {*keys}:
        keys.remove("_x")
    shapes = {key: draw(inner) for key in keys}
    required = {key for key in keys if kind == "typed dict" or draw(st.booleans())}
    optional = {key: values for key, (_, values) in shapes.items() if key not in required}
    values = st.fixed_dictionaries({key: shapes[key][1] for key in keys if key in required}, optional=optional)
    if kind == "typed dict":
        return apart(TypedDict(title, {key: annotation for key, (annotation, _) in shapes.items()})), values  # type: ignore
    if kind == "struct":
        fields = [
            (f"f{i}", shapes[key][0], msgspec.field(name=key) if key in required else _later(key, shapes[key]))
            for i, key in enumerate(sorted(keys, key=lambda key: key not in required))
        ]
        return apart(msgspec.defstruct(title, fields, kw_only=draw(st.booleans()))), values
    made = {
        key: attrs.field(
            type=shapes[key][0] or type(None), kw_only=True, **({} if key in required else _default(shapes[key]))
        )
        for key in keys
    }
    return apart(attrs.make_class(title, made)), values


def apart(made: Any) -> Any:
    """Return a class as if of a module of its own, since schemas tell classes of one name apart by their modules."""
    made.__module__ = f"module_{next(_counter)}"
    sys.modules[made.__module__] = sys.modules[__name__]
    return made


def _default(shape: Shape) -> dict[str, Any]:
    annotation = shape[0]
    simple = {int: 3, str: "text", None: None, Color: Color.RED, bool: True, float: 0.5, Point: Point(1.0)}
    if annotation in (int, str, None, Color, bool, float, Point):
        return {"default": simple[annotation]}
    if getattr(annotation, "__origin__", None) in (list, dict, set) or _is_var(annotation):
        return {"factory": annotation.__origin__}
    return {"factory": functools.partial(_unknown, annotation)}


def _is_var(annotation: Any) -> bool:
    return getattr(annotation, "__origin__", None) is tuple and ... in annotation.__args__


def _unknown(annotation: Any) -> Any:
    """A default that no schema tells of: here, none that could be written at all."""
    return msgspec.UNSET


def _later(key: str, shape: Shape) -> Any:
    default = _default(shape)
    if "default" in default:
        return msgspec.field(name=key, default=default["default"])
    return msgspec.field(name=key, default_factory=default["factory"])


def _containers(inner: st.SearchStrategy[Shape]) -> st.SearchStrategy[Shape]:
    def fixed(parts: list[Shape]) -> Shape:
        return tuple[tuple(part[0] for part in parts)], st.tuples(*(part[1] for part in parts)).map(list)  # type: ignore

    def optional(shape: Shape) -> Shape:
        return Optional[shape[0]], st.none() | shape[1]  # noqa: UP045

    return st.one_of(
        inner.map(lambda shape: (list[shape[0]], st.lists(shape[1], max_size=3))),
        inner.map(lambda shape: (tuple[shape[0], ...], st.lists(shape[1], max_size=3))),
        inner.map(lambda shape: (dict[str, shape[0]], st.dictionaries(TEXTS, shape[1], max_size=2))),
        st.sampled_from(LEAVES[1:5]).map(lambda s: (set[s[0]], st.lists(s[1], max_size=3, unique=True))),
        st.sampled_from(LEAVES[2:3]).map(
            lambda s: (dict[s[0], str], st.dictionaries(s[1].map(str), TEXTS, max_size=2))
        ),
        st.lists(inner, max_size=3).map(fixed),
        inner.map(optional),
        classes(inner),
    )


SHAPES = st.recursive(st.sampled_from(LEAVES), _containers, max_leaves=4)


def worker_class(signatures: list[tuple[list[tuple[Any, ...]], Any]]) -> type[promissory.Worker]:
    """Make a worker class whose handlers f0, f1, ... have these parameters (name, annotation, default) and results."""
    namespace: dict[str, Any] = {"promissory": promissory}
    lines = [f"class Worker{next(_counter)}(promissory.Worker, component='worker-0'):", "    pass"]
    for i, (parameters, result) in enumerate(signatures):
        written = ["self"]
        for j, (name, annotation, *default) in enumerate(parameters):
            namespace[f"t{i}_{j}"] = annotation
            namespace[f"d{i}_{j}"] = default[0] if default else None
            written.append(f"{name}: t{i}_{j}{f' = d{i}_{j}' if default else ''}")
        namespace[f"r{i}"] = result
        query = i % 2
        lines += [
            f"    @promissory.{'query' if query else 'handler'}",
            f"    {'' if query else 'async '}def f{i}({', '.join(written)}) -> r{i}: ...",
        ]
    exec("\n".join(lines), namespace)
    (made,) = (value for name, value in namespace.items() if name.startswith("Worker"))
    return made


@st.composite
def signatures(draw: st.DrawFn) -> list[tuple[list[tuple[Any, ...]], Any, Any, Any]]:
    """Parameters and results of some handlers, with values of both."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        parameters: list[tuple[Any, ...]] = []
        params: dict[str, Any] = {}
        names = draw(st.lists(NAMES, unique=True, max_size=3))
        for name in names:
            annotation, values = draw(SHAPES)
            default = _default((annotation, values)).get("default", ...)
            may = default is not ... and draw(st.booleans())
            parameters.append((name, annotation, default) if may else (name, annotation))
            if not may or draw(st.booleans()):
                params[name] = draw(values)
        result, values = draw(SHAPES)
        parameters.sort(key=len)
        found.append((parameters, result, params, draw(values)))
    return found
