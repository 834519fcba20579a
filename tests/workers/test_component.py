"""What a worker class must be to be served, and how its arguments and answers are converted."""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import pytest
from attrs import define, field

import promissory
from promissory.oplog.errors import BadArguments, BadHandler, NotFound, TerminalError
from promissory.oplog.ids import component_id
from promissory.workers.component import component_of


@define
class Order:
    order_id: str
    items: list[str]


class PurchaseHistory(promissory.Worker):
    orders: list[Order] = field(factory=list)

    @promissory.handler
    async def add(self, order: Order, times: int = 1) -> int:
        return times

    @promissory.query
    def orders_of(self, item: str) -> list[Order]:
        return [order for order in self.orders if item in order.items]

    @promissory.query
    def wrong(self) -> int:
        return "x"  # type: ignore[return-value]


class Cart(promissory.Worker, component="shopping-cart", version=3):
    owner: str
    limit: int = 10
    notes: list[str] = field(factory=list)
    _cache: dict[str, Any] = field(factory=dict, init=False)


def test_a_component_is_named_after_its_class() -> None:
    """The name is the class's in kebab-case and gives the id; the version is 1."""
    component = component_of(PurchaseHistory)
    assert component.name == "purchase-history"
    assert component.id == component_id("purchase-history")
    assert (component.version, component.ephemeral, component.requires_args) == (1, False, False)
    assert {name: handler.kind for name, handler in component.handlers.items()} == {
        "add": "handler",
        "orders_of": "query",
        "wrong": "query",
    }
    assert component_of(PurchaseHistory) is component


class Mailer(promissory.Worker, ephemeral=True):
    sent: int = 0


def test_a_component_can_be_named_versioned_and_ephemeral() -> None:
    """The arguments of the subclassing are its component's."""
    component = component_of(Cart)
    assert (component.name, component.version, component.ephemeral) == ("shopping-cart", 3, False)
    assert component.requires_args
    assert component_of(Mailer).ephemeral


def test_a_subclass_is_a_component_of_its_own() -> None:
    """Names are not inherited, handlers are."""

    class Archive(PurchaseHistory, version=2):
        pass

    assert component_of(Archive).name == "archive"
    assert set(component_of(Archive).handlers) == {"add", "orders_of", "wrong"}


class SyncHandler(promissory.Worker):
    @promissory.handler
    def go(self) -> None: ...


class AsyncQuery(promissory.Worker):
    @promissory.query
    async def look(self) -> None: ...


class BadAnnotation(promissory.Worker):
    @promissory.handler
    async def go(self, lock: list[threading.Thread]) -> None: ...


class BadResult(promissory.Worker):
    @promissory.handler
    async def go(self) -> threading.Thread: ...


class BadUnion(promissory.Worker):
    @promissory.handler
    async def go(self, x: list[int] | tuple[int, ...]) -> None: ...


class Unknown(promissory.Worker):
    @promissory.handler
    async def go(self, x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821


class MutableField(promissory.Worker):
    names: list[str] = []


class MutableParameter(promissory.Worker):
    @promissory.handler
    async def go(self, names: list[str] = []) -> None: ...  # noqa: B006


class Varied(promissory.Worker):
    @promissory.handler
    async def go(self, *names: str) -> None: ...


class Static(promissory.Worker):
    @promissory.handler
    @staticmethod
    async def go() -> None: ...


class Yields(promissory.Worker):
    @promissory.handler
    async def go(self):  # type: ignore[no-untyped-def]
        yield 1


class Send(promissory.Worker):
    @promissory.handler
    async def send(self) -> None: ...


class Promise(promissory.Worker):
    pass


class Misnamed(promissory.Worker, component="Not A Name"):
    pass


class Misversioned(promissory.Worker, version=0):
    pass


class Constructed(promissory.Worker):
    def __init__(self) -> None: ...


class Silenced(PurchaseHistory):
    async def add(self, order: Order, times: int = 1) -> int:
        return 0


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (SyncHandler, r"sync-handler\.go is a handler, so it must be `async def`"),
        (AsyncQuery, r"async-query\.look is a query, so it must be a plain `def`"),
        (BadAnnotation, r"parameter `lock`: its annotation `list\[threading.Thread\]` .*`Thread` is neither"),
        (BadResult, r"bad-result\.go: result: its annotation `Thread` cannot be converted"),
        (BadUnion, r"bad-union\.go: parameter `x`: its annotation .* cannot be converted"),
        (Unknown, r"unknown\.go: its annotations cannot be evaluated.*Nowhere"),
        (MutableField, r"field `names`: the default \[\] is mutable"),
        (MutableParameter, r"parameter `names`: the default \[\] is mutable"),
        (Varied, r"`\*names: .*str.*` cannot be recorded"),
        (Static, r"static\.go is not a plain method"),
        (Yields, r"yields\.go yields"),
        (Send, r"the name 'send' is reserved"),
        (Promise, r"the component name 'promise' is reserved"),
        (Misnamed, r"Misnamed: component name"),
        (Misversioned, r"version must be a positive integer, not 0"),
        (Constructed, r"__attrs_post_init__"),
        (Silenced, r"silenced\.add overrides a handler"),
        (promissory.Worker, r"not a subclass"),
        (int, r"not a subclass"),
    ],
)
def test_a_class_that_cannot_be_served_is_refused_with_the_reason(cls: Any, words: str) -> None:
    """Registration says which member is wrong and why."""
    with pytest.raises(BadHandler, match=words):
        component_of(cls)


@pytest.mark.parametrize("name", ["restate", "v1", "promise", "durable-promise", "health", "metrics", "openapi"])
def test_component_names_that_routes_need_are_reserved(name: str) -> None:
    """A component with such a name could not be reached."""
    cls = type("Taken", (promissory.Worker,), {}, component=name)
    with pytest.raises(BadHandler, match="reserved"):
        component_of(cls)


@pytest.mark.parametrize("name", ["send", "attach", "output"])
def test_handler_names_that_routes_need_are_reserved(name: str) -> None:
    """A handler with such a name could not be reached."""

    async def method(self: Any) -> None: ...

    cls = type("Taken", (promissory.Worker,), {name: promissory.handler(method)})
    with pytest.raises(BadHandler, match="reserved"):
        component_of(cls)


def test_only_declared_fields_can_be_set() -> None:
    """State that is no field would be lost, so it is refused."""

    class Strict(promissory.Worker):
        shared: ClassVar[int] = 3
        count: int = 0
        positive: int = field(default=1, validator=lambda _self, _attribute, value: None)

    worker = Strict(count=3)
    worker.count = 4
    worker.positive = 2
    for name in ("other", "shared"):
        with pytest.raises(AttributeError, match=f"no field '{name}'"):
            setattr(worker, name, 1)
    with pytest.raises(AttributeError, match="only fields are kept"):
        worker.counter = 1  # type: ignore[attr-defined]


def test_validators_run_when_a_field_is_set() -> None:
    """Refusing undeclared attributes takes nothing from attrs."""

    def positive(_worker: Any, _attribute: Any, value: int) -> None:
        if value < 0:
            raise ValueError("negative")

    class Checked(promissory.Worker):
        count: int = field(default=0, validator=positive)

    worker = Checked()
    with pytest.raises(ValueError, match="negative"):
        worker.count = -1
    with pytest.raises(BadArguments, match="negative"):
        component_of(Checked).construct(b"[-1]")


def test_construct_takes_an_array_or_an_object() -> None:
    """`args` are the constructor's; what is left out takes its default."""
    component = component_of(Cart)
    cart = component.construct(b'["ann", 3]')
    assert isinstance(cart, Cart)
    assert (cart.owner, cart.limit, cart.notes) == ("ann", 3, [])
    assert component.check_args(b'{"owner": "bob", "notes": ["x"]}') == b'["bob",10,["x"]]'
    assert component.check_args(b'["bob"]') == b'["bob"]'


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (b"[]", r"missing argument `owner`"),
        (b"[3]", r"Expected `str`, got `int` - at `\$\.owner`"),
        (b'["a", 1, ["x", 2]]', r"Expected `str`, got `int` - at `\$\.notes\[1\]`"),
        (b'{"owner": "a", "cache": {}}', r"unknown argument `cache`"),
        (b'["a", 1, [], 4]', r"unknown argument: it takes 3"),
        (b"7", r"Expected `array`"),
        (b"[", r"not JSON"),
        (b"{", r"not JSON"),
    ],
)
def test_arguments_that_do_not_fit_the_constructor_are_refused(args: bytes, words: str) -> None:
    """The message has the path and the expected type."""
    with pytest.raises(BadArguments, match=words):
        component_of(Cart).check_args(args)


def test_a_query_is_answered_as_json() -> None:
    """What a query hands out is data, not the worker's own objects."""
    component = component_of(PurchaseHistory)
    worker = PurchaseHistory(orders=[Order("1", ["pen"]), Order("2", [])])
    assert component.query(worker, "orders_of", b'["pen"]') == b'[{"items":["pen"],"order_id":"1"}]'
    assert component.query(worker, "orders_of", b'{"item": "cup"}') == b"[]"


def test_a_query_that_cannot_be_answered_says_why() -> None:
    """Unknown names, wrong arguments and answers that do not fit are three different errors."""
    component = component_of(PurchaseHistory)
    worker = PurchaseHistory()
    with pytest.raises(NotFound, match="no query 'nothing'"):
        component.query(worker, "nothing", b"[]")
    with pytest.raises(NotFound, match="no query 'add'"):
        component.query(worker, "add", b"[]")
    with pytest.raises(BadArguments, match=r"\$\.item"):
        component.query(worker, "orders_of", b"[1]")
    with pytest.raises(TerminalError, match="does not fit `int`"):
        component.query(worker, "wrong", b"[]")


def test_schemas_describe_parameters_by_name_and_the_result() -> None:
    """They are JSON Schemas that a stranger can call by."""
    add = component_of(PurchaseHistory).handlers["add"]
    (definition,) = (d for name, d in add.parameters_schema()["$defs"].items() if name == "add")
    assert definition["required"] == ["order"]
    assert definition["properties"]["times"] == {"type": "integer", "default": 1}
    assert add.result_schema() == {"type": "integer"}
