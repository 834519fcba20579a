"""What a worker author subclasses and decorates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, dataclass_transform

import attrs

from promissory.workers.guard import current

F = TypeVar("F", bound=Callable[..., Any])

KIND = "__promissory_kind__"
"""The attribute by which a decorated method is known: "handler" or "query"."""


class Options:
    """What a worker class was subclassed with."""

    __slots__ = ("checked", "component", "ephemeral", "stub", "version")

    def __init__(self, component: str | None, version: int, *, ephemeral: bool, stub: bool) -> None:
        self.component = component
        self.version = version
        self.ephemeral = ephemeral
        self.stub = stub
        self.checked: object = None
        """The `Component`, once the class has passed its checks."""


def handler(method: F) -> F:
    """Mark an `async def` method as one that can be invoked, durably, from outside of its worker."""
    setattr(method, KIND, "handler")
    return method


def query(method: F) -> F:
    """Mark a plain method that only reads: it is answered at any time and leaves no trace in the oplog."""
    setattr(method, KIND, "query")
    return method


@dataclass_transform(field_specifiers=(attrs.field,))
class Worker:
    """The base of every component: a subclass is an attrs class whose fields are the worker's durable state.

    Args (of the subclassing):
      component: the component's name; the class's name in kebab-case if not given.
      version: the version of the code, written in each worker's `Created`.
      ephemeral: each invocation gets a worker of its own.
      stub: the class is only the interface of a component that another program serves.
    """

    __promissory__: ClassVar[Options] = Options(None, 1, ephemeral=False, stub=False)
    __promissory_fields__: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(
        cls,
        *,
        component: str | None = None,
        version: int = 1,
        ephemeral: bool = False,
        stub: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        cls.__promissory__ = Options(component, version, ephemeral=ephemeral, stub=stub)
        # Not slotted: attrs would have to replace the class, which its subclassing cannot.
        attrs.define(slots=False, eq=False, auto_attribs=True)(cls)
        cls.__promissory_fields__ = frozenset(attribute.name for attribute in fields_of(cls))
        _refuse_undeclared(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        context = current.context
        if name not in self.__promissory_fields__ or (context is not None and context.read_only):
            _check_setting(self, name)
        object.__setattr__(self, name, value)


def fields_of(cls: type[Worker]) -> tuple[attrs.Attribute[Any], ...]:
    """Return the fields of a worker class, which only its subclassing made an attrs class."""
    made_by_attrs: Any = cls
    found: tuple[attrs.Attribute[Any], ...] = attrs.fields(made_by_attrs)
    return found


def _refuse_undeclared(cls: type[Worker]) -> None:
    """Put our check before what attrs wrote for fields with validators or converters, which has none."""
    written = cls.__dict__.get("__setattr__")
    if written is None or not cls.__dict__.get("__attrs_own_setattr__"):
        return

    def checked(self: Worker, name: str, value: Any) -> None:
        _check_setting(self, name)
        written(self, name, value)

    type.__setattr__(cls, "__setattr__", checked)


def _check_setting(worker: Worker, name: str) -> None:
    if name not in worker.__promissory_fields__:
        raise AttributeError(
            f"{type(worker).__name__!r} has no field {name!r}: declare it in the class, only fields are kept"
        )
    context = current.context
    if context is not None and context.read_only:
        raise AttributeError(f"{context.describe()} is read-only: it cannot set {name!r}")
