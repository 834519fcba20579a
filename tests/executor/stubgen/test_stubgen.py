"""Stubs written from schemas: the same JSON, the same text again, and nothing that a strict type checker minds."""

from __future__ import annotations

import datetime
import decimal
import itertools
import os
import subprocess
import sys
import textwrap
import types
import uuid
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import attrs
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

import promissory
from promissory.executor.stubgen import stub_source
from promissory.oplog.errors import BadArguments, BadHandler
from promissory.workers.component import Component, component_of
from tests.signatures import Cat, Dog, Item, Level, Loose, Other, Point, Row, signatures, worker_class

ROOT = Path(__file__).parents[3]
_counter = itertools.count()


def said_of(component: Component) -> dict[str, Any]:
    """What `component.list` says of a component, as it comes out of a frame."""
    said = {
        "component": component.name,
        "id": "0a",
        "version": component.version,
        "ephemeral": component.ephemeral,
        "handlers": [
            {
                "name": handler.name,
                "kind": handler.kind,
                "parameters": handler.parameters_schema(),
                "result": handler.result_schema(),
            }
            for handler in component.handlers.values()
        ],
    }
    return msgspec.msgpack.decode(msgspec.msgpack.encode(said))


def load(source: str) -> types.ModuleType:
    module = types.ModuleType(f"stub_{next(_counter)}")
    sys.modules[module.__name__] = module
    exec(compile(source, module.__name__, "exec"), module.__dict__)
    return module


def stub_of(source: str) -> Component:
    """The component of the worker class in a stub."""
    module = load(source)
    (cls,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, promissory.Worker) and value is not promissory.Worker
    )
    return component_of(cls)


def plain(value: Any) -> Any:
    return msgspec.to_builtins(value, order="deterministic", str_keys=True)


def assert_same_json(real: Component, stub: Component, name: str, params: bytes, result: bytes) -> None:
    """What the stub makes of arguments and results means the same to the worker."""
    ours, theirs = real.handlers[name], stub.handlers[name]
    positional, named = theirs.parameters.decode(theirs.check(params))
    sent = theirs.parameters.encode(positional, named)
    assert plain(ours.parameters.decode(sent)) == plain(ours.parameters.decode(ours.check(params)))
    read = msgspec.json.encode(theirs.result.decode(result))
    assert plain(ours.result.decode(read)) == plain(ours.result.decode(result))


SEVEN = uuid.UUID(int=7)


class Shop(promissory.Worker, component="the-shop", version=3):
    @promissory.handler
    async def buy(self, item: Item, count: int = 1, *, level: Level = Level.LOW) -> Item | None:
        return item

    @promissory.handler
    async def pet(self, one: Cat | Dog, others: list[Cat | Dog | None]) -> dict[str, Cat]:
        return {}

    @promissory.handler
    async def draw(self, at: Point, rows: Row, to: tuple[Point, int], nothing: tuple[()] = ()) -> Point:
        return at

    @promissory.handler
    async def at(
        self,
        when: Annotated[datetime.datetime, msgspec.Meta(tz=True)],
        within: datetime.timedelta = datetime.timedelta(hours=1),
        day: datetime.date = datetime.date(2026, 1, 2),
        key: uuid.UUID = SEVEN,
        data: bytes = b"x",
        until: datetime.datetime | None = None,
        around: datetime.datetime = datetime.datetime(2026, 1, 2),
    ) -> list[Loose]:
        return []

    @promissory.query
    def kinds(
        self,
        choice: Literal["a", "b", 3, None] = "b",
        text: str = 'say "it" isn\'t',
        of: frozenset[int] = frozenset({2, 1}),
        limit: float = float("inf"),
        anything: Any = None,
        long: str = "x" * 200,
        wrong: int = None,  # type: ignore[assignment]  # noqa: RUF013
    ) -> Literal[
        "a rather long choice, which has to be written on its own", "another choice of that kind", "a third one"
    ]:
        return "a third one"

    @promissory.query
    def list(self) -> list[int]:
        return []

    @promissory.query
    def other(self, promissory: Other, msgspec: int) -> Optional[int]:  # noqa: UP045
        return None


HAND_MADE = [
    (
        "buy",
        [{"sku": "a", "parts": {"b": {"sku": "b", "tags": ["t"]}}}, 2, -1],
        {"sku": "a", "near": ["4th", ""], "price": "3", "seen": ["s"], "made": "2025-01-01"},
    ),
    ("buy", {"item": {"sku": "a"}, "level": 1}, None),
    (
        "pet",
        [{"type": "dog", "bark-as": "w"}, [None, {"type": "cat", "name": "c"}]],
        {"x": {"type": "cat", "name": ""}},
    ),
    ("draw", [[1, 2.5], ["k", [["l", []], ["m"]]], [[1], 2]], [1.0]),
    ("at", ["2026-01-02T03:04:05Z", "P1D", "2026-01-03"], [{"class": 1, "a b": "x"}, {}]),
    ("kinds", {"choice": None, "of": [1]}, "a third one"),
    ("list", [], [1, 2]),
    ("other", {"promissory": {"name": "n", "Row": {"sku": "s"}}, "msgspec": 1}, None),
]


@pytest.mark.parametrize(("name", "params", "result"), HAND_MADE)
def test_a_stub_speaks_the_same_json(name: str, params: Any, result: Any) -> None:
    """Arguments that a stub sends are those that it was given, and so are the results that it reads."""
    real = component_of(Shop)
    stub = stub_of(stub_source(said_of(real)))

    assert_same_json(real, stub, name, msgspec.json.encode(params), msgspec.json.encode(result))
    assert (stub.name, stub.id, stub.version, stub.ephemeral) == (real.name, real.id, real.version, real.ephemeral)


def test_a_stub_of_a_stub_is_the_same() -> None:
    """What a stub tells of itself gives its own text, in an interpreter's every run."""
    source = stub_source(said_of(component_of(Shop)))

    assert stub_source(said_of(stub_of(source))) == source
    assert stub_source(said_of(component_of(Shop))) == source


def test_what_a_stub_looks_like() -> None:
    """A stub is a module that one would have written."""

    @attrs.define
    class Order:
        """What was bought."""

        order_id: str
        items: list[str]
        state: Literal["open", "paid"] = "open"

    namespace = {"promissory": promissory, "Order": Order}
    exec(
        textwrap.dedent("""
        class PurchaseHistory(promissory.Worker, version=2):
            @promissory.handler
            async def add_order(self, order: Order, urgent: bool = False) -> None: ...
            @promissory.query
            def get_orders(self) -> list[Order]: ...
        """),
        namespace,
    )

    assert stub_source(said_of(component_of(namespace["PurchaseHistory"]))) == textwrap.dedent('''\
        """The component purchase-history, version 2: its interface, for those who call it.

        Generated by `promissory stub purchase-history`: written again, it would lose what is changed by hand.
        """

        from __future__ import annotations

        from typing import Literal

        import promissory
        from attrs import define


        @define
        class Order:
            """What was bought."""

            order_id: str
            items: list[str]
            state: Literal["open", "paid"] = "open"


        class PurchaseHistory(
            promissory.Worker,
            component="purchase-history",
            version=2,
            stub=True,
        ):
            @promissory.handler
            async def add_order(self, order: Order, urgent: bool = False) -> None:
                raise NotImplementedError

            @promissory.query
            def get_orders(self) -> list[Order]:
                raise NotImplementedError
        ''')


def test_an_ephemeral_component_is_said_to_be_one() -> None:
    """Whether workers have names is part of the interface; a name that Python has already is not given again."""
    said = {"component": "exception", "id": "0a", "version": 1, "ephemeral": True, "handlers": []}
    source = stub_source(said)

    assert "class ExceptionWorker(" in source
    assert stub_of(source).ephemeral


def test_two_classes_of_one_name_stay_two() -> None:
    """Handlers may mean different things by a name: the second gets a number; what is the same is one class."""
    orders: list[type] = [
        attrs.make_class("Order", {"x": attrs.field(type=kind)}) for kind in (int, str, int, list[int])
    ]
    source = stub_source(said_of(component_of(worker_class([([("a", kind)], Any) for kind in orders]))))

    assert source.count("class Order") == 3
    assert "def f0(self, a: Order)" in source
    assert "def f1(self, a: Order2)" in source
    assert "def f2(self, a: Order)" in source
    assert "def f3(self, a: Order3)" in source
    assert stub_source(said_of(stub_of(source))) == source


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"component": 'a"""; import os', "version": 1, "handlers": []},
        {"component": "a", "version": "1)", "handlers": []},
        {"component": "a", "version": 1, "handlers": [{"name": "f"}]},
        {"component": "a", "version": 1, "handlers": [{"name": "f", "kind": "handler", "parameters": 1, "result": {}}]},
        {
            "component": "a",
            "version": 1,
            "handlers": [{"name": "f(", "kind": "handler", "parameters": {"properties": {}}, "result": {}}],
        },
        {
            "component": "a",
            "version": 1,
            "handlers": [{"name": "f", "kind": "query", "parameters": {"properties": {"a b": {}}}, "result": {}}],
        },
    ],
)
def test_what_is_no_component_is_refused(said: dict[str, Any]) -> None:
    """Source is made of names only; anything else is refused."""
    with pytest.raises(BadArguments):
        stub_source(said)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        {"type": "unheard-of"},
        {"type": ["string", "null"]},
        {"$ref": "https://example.org/x"},
        {"anyOf": [{"type": "array"}, {"type": "array", "items": {"type": "integer"}}]},
        {"anyOf": []},
        {"enum": [1.5]},
        {"enum": []},
        {"$ref": "#/$defs/X", "$defs": {"X": {"$ref": "#/$defs/X"}}},
        {"$ref": "#/$defs/X", "$defs": {"X": True}},
    ],
)
def test_what_says_nothing_is_any(schema: Any) -> None:
    """A schema that no annotation can express is no obstacle."""
    parameters = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    if isinstance(schema, dict) and "$defs" in schema:
        parameters["$defs"] = schema["$defs"]
    handler = {"name": "f", "kind": "handler", "parameters": parameters, "result": {}}
    source = stub_source({"component": "a", "version": 1, "ephemeral": False, "handlers": [handler]})

    assert "async def f(self, a: Any) -> Any:" in source
    assert stub_of(source).handlers["f"].check(b'[{"x":[]}]')


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(signatures())
def test_any_stub_speaks_the_same_json(drawn: list[tuple[list[tuple[Any, ...]], Any, Any, Any]]) -> None:
    """Whatever the signature: the stub sends and reads what the class does, and gives its own text again."""
    real = component_of(worker_class([(parameters, result) for parameters, result, _, _ in drawn]))
    source = stub_source(said_of(real))
    stub = stub_of(source)

    for i, (_, _, params, result) in enumerate(drawn):
        assert_same_json(real, stub, f"f{i}", msgspec.json.encode(params), msgspec.json.encode(result))
    assert stub_source(said_of(stub)) == source


# Where the real class is used.


@attrs.define
class Book:
    title: str
    price: decimal.Decimal
    authors: list[str] = attrs.field(factory=list)


class Library(promissory.Worker):
    books: list[Book] = attrs.field(factory=list)

    @promissory.handler
    async def add(self, book: Book, copies: int = 1) -> Book:
        self.books += [book] * copies
        return book

    @promissory.query
    def find(self, title: str) -> list[Book]:
        return [book for book in self.books if book.title == title]


stub: Any = None
"""The module of a stub of `Library`."""


class Reader(promissory.Worker):
    @promissory.handler
    async def donate(self, title: str) -> list[str]:
        library = promissory.worker(stub.Library, "main")
        added = await library.add(stub.Book(title, decimal.Decimal("1.50")), copies=2)
        await promissory.send(library.add, added)
        found = await promissory.ask(library.find, title)
        return [type(added).__module__, *(type(book).__module__ for book in found)]


async def test_a_stub_works_where_the_class_does(durable: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker calls, sends to and asks another by its stub, and so does a client; results are the stub's types."""
    module = load(stub_source(said_of(component_of(Library))))
    monkeypatch.setitem(globals(), "stub", module)
    durable.register(Library, Reader)

    assert {*await durable.invoke("reader/1", "donate", "Dune")} == {module.__name__}
    library = durable.worker(module.Library, "main")
    given = module.Book("Emma", decimal.Decimal(2), ["Austen"])
    assert await library.add(given) == given
    assert await promissory.ask(library.find, "Emma") == [given]
    assert await promissory.ask(library.find, "Dune") == [module.Book("Dune", decimal.Decimal("1.50"))] * 3
    with pytest.raises(BadHandler):
        durable.register(module.Library)


# What tools say.


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of stubs: one of the class above, and some of whatever signature."""
    directory = tmp_path_factory.mktemp("stubs")
    (directory / "the_shop.py").write_text(stub_source(said_of(component_of(Shop))))

    @settings(
        max_examples=60, derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(signatures())
    def write(drawn: list[tuple[list[tuple[Any, ...]], Any, Any, Any]]) -> None:
        real = component_of(worker_class([(parameters, result) for parameters, result, _, _ in drawn]))
        (directory / f"stub_{next(_counter)}.py").write_text(stub_source(said_of(real)))

    write()
    return directory


def test_stubs_pass_mypy(written: Path) -> None:
    """A strict type checker has nothing to say of stubs; of their wrong use, it has."""
    pytest.importorskip("mypy")
    (written / "use.py").write_text(
        textwrap.dedent("""
        import datetime
        from typing import assert_type
        from the_shop import Cat, Color, Item, Level, TheShop

        async def use(shop: TheShop) -> None:
            item = Item("a", tags=["x"], color=Color.DARK_GREEN)
            assert_type(await shop.buy(item, level=Level.VALUE_1), Item | None)
            assert_type(await shop.pet(Cat("a"), []), dict[str, Cat])
            await shop.at(datetime.datetime.now(), until=datetime.datetime.now())
            await shop.buy("a")  # wrong
            shop.list(1)  # wrong
        """)
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent"]
    done = subprocess.run(
        [
            *command,
            "--no-error-summary",
            "--python-version=3.11",
            f"--cache-dir={written / '.cache'}",
            *map(str, written.glob("*.py")),
        ],
        cwd=written,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert [line.split(":")[:3] for line in done.stdout.splitlines()] == [
        ["use.py", "11", " error"],
        ["use.py", "12", " error"],
    ], done.stdout + done.stderr


@pytest.mark.parametrize("line_length", [110, 120])
def test_stubs_are_formatted(written: Path, line_length: int) -> None:
    """The formatter leaves stubs as they are, so that neither it nor `--check` gets in the other's way."""
    pytest.importorskip("ruff")
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", "--diff"]
    done = subprocess.run(
        [*command, "--line-length", str(line_length), "--exclude", "use.py", "."],
        cwd=written,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
