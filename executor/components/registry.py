"""The components that an executor serves: imported, registered, remembered across restarts, and found by name.

A remembered component whose module does not import is known but unavailable: its workers wait, everything else runs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence

import cbor2
import msgspec
import structlog

from promissory.executor.components.importing import load, load_all
from promissory.oplog.codec import decode_cbor
from promissory.oplog.environment import Environment
from promissory.oplog.errors import BadArguments, BadHandler, NotFound, OplogCorrupt
from promissory.oplog.ids import (
    DURABLE_PROMISE,
    ComponentId,
    WorkerId,
    check_component,
    component_id,
    escape,
    resolve_component,
    split_worker,
)
from promissory.oplog.tables import Table
from promissory.workers.component import Component, component_of
from promissory.workers.definition import Worker

LOCATED_MAX = 20_000


class Remembered(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A row of `COMPONENTS`: where a component comes from."""

    module: str
    """Empty for a class that was given, not imported: it is known by name only."""
    class_name: str
    directory: str
    version: int


class Registry:
    """All components of an executor.

    Args:
      environment: where they were remembered earlier.
      remember: has rows of `COMPONENTS` written, by their keys, with the next commit.
    """

    def __init__(self, environment: Environment, remember: Callable[[Mapping[bytes, bytes]], None]) -> None:
        self._environment = environment
        self._remember = remember
        self._remembered: dict[bytes, bytes] = {}
        """The rows that were given to `remember`."""
        self._by_id: dict[ComponentId, Component] = {}
        self._names: dict[ComponentId, str] = {}
        self._unavailable: dict[str, str] = {}
        """Why the remembered components that are not served are not."""
        self._located: dict[str, tuple[Component, WorkerId]] = {}
        self._log = structlog.get_logger("promissory.components")
        self._names[DURABLE_PROMISE] = "durable-promise"
        for key, _ in environment.scan(Table.COMPONENTS):
            name = key.decode()
            self._names[component_id(name)] = name

    def __len__(self) -> int:
        return len(self._by_id)

    def components(self) -> list[Component]:
        """Return the available components, by name."""
        return sorted(self._by_id.values(), key=lambda component: component.name)

    def by_id(self, component: ComponentId) -> Component | None:
        """Return an available component."""
        return self._by_id.get(component)

    def component(self, text: str) -> Component:
        """Return an available component by name or id.

        Raises:
          NotFound: there is none.
          BadArguments: the text is neither a name nor an id.
        """
        found = self._by_id.get(resolve_component(text))
        if found is None:
            raise self.not_served(resolve_component(text), text)
        return found

    def not_served(self, component: ComponentId, text: str | None = None, *, worker: str | None = None) -> NotFound:
        """Return what whoever needs a component that is not served is told: why, if that is known.

        Args:
          component: its id.
          text: how it was asked for; its name, if one is known, else its id.
          worker: COMPONENT/NAME of the worker that needs it.
        """
        why = self.why_unavailable(component)
        if why is not None:
            return NotFound(why, worker=worker)
        name = text or self.component_name(component)
        known = ", ".join(self.names()) or None
        return NotFound(f"component {name!r} is not registered", worker=worker, expected=known)

    def component_name(self, component: ComponentId) -> str:
        """Return a component's name, its id where no name is known."""
        return self._names.get(component) or str(uuid.UUID(bytes=component))

    def why_unavailable(self, component: ComponentId) -> str | None:
        """Return why a remembered component is not served; None if it is, or if nothing is known of it."""
        name = self._names.get(component)
        if name is None or component in self._by_id or component == DURABLE_PROMISE:
            return None
        return f"component {name!r} is unavailable: {self._unavailable.get(name, 'its module has not been given')}"

    def unavailable_id(self, text: str) -> WorkerId | None:
        """Return the id of a worker, given as for `locate`, whose component is known but not available.

        Raises:
          BadArguments: the text has another form.
        """
        component, name = _parts(text)
        worker_id = WorkerId(resolve_component(component), name)
        return None if self.why_unavailable(worker_id.component_id) is None else worker_id

    def unavailable(self) -> dict[str, str]:
        """Return why each component that is known is not available, by name."""
        known = {name: self.why_unavailable(component) for component, name in self._names.items()}
        return {name: why for name, why in sorted(known.items()) if why is not None}

    def names(self) -> list[str]:
        """Return the names of the available components."""
        return [component.name for component in self.components()]

    def path_of(self, worker_id: WorkerId) -> str:
        """Return COMPONENT/NAME of a worker, with the component's id where no name is known."""
        name = self._names.get(worker_id.component_id)
        return str(worker_id) if name is None else f"{name}/{escape(worker_id.worker_name)}"

    def worker_id(self, text: str) -> WorkerId:
        """Return the id of a worker given as COMPONENT/NAME, whether or not either exists.

        Raises:
          BadArguments: the text has another form.
        """
        located = self._located.get(text)
        if located is not None and located[1].worker_name:
            return located[1]
        component, name = split_worker(text)
        return WorkerId(resolve_component(component), name)

    def locate(self, text: str) -> tuple[Component, WorkerId]:
        """Return the available component and the id of a worker given as COMPONENT/NAME or COMPONENT alone.

        Raises:
          BadArguments: the text has another form.
          NotFound: the component is not registered.
        """
        found = self._located.get(text)
        if found is None:
            component, name = _parts(text)
            served = self.component(component)
            found = served, WorkerId(served.id, name)
            if len(self._located) >= LOCATED_MAX:
                self._located.clear()
            self._located[text] = found
        return found

    def add(self, classes: Sequence[type[Worker]], directory: str = "", *, remember: bool = True) -> list[str]:
        """Register worker classes and remember where they come from; durable with what `remember` was given.

        Returns:
          The names of their components.

        Raises:
          BadHandler: a class cannot be served, is only the stub of one, or two have one name; none is registered then.
        """
        components = [component_of(cls) for cls in classes]
        if len({component.name for component in components}) != len(components):
            raise BadHandler(f"two classes have one component name: {sorted(c.name for c in components)}")
        for component in components:
            if component.is_stub:
                raise BadHandler(f"{component.cls.__name__} is a stub of {component.name!r}: it has no code")
        rows: dict[bytes, bytes] = {}
        for component in components:
            cls = component.cls
            row = (cls.__module__ if directory else "", cls.__qualname__, directory, component.version)
            key = component.name.encode()
            encoded = cbor2.dumps(row, canonical=True)
            if self._environment.get(Table.COMPONENTS, key) != encoded:
                rows[key] = encoded
        if rows and remember:
            self._remembered |= rows
            self._remember(rows)
        for component in components:
            self._by_id[component.id] = component
            self._names[component.id] = component.name
            self._unavailable.pop(component.name, None)
        self._located.clear()
        return [component.name for component in components]

    def remember_again(self) -> None:
        """After a failed commit, have the rows written that it took along."""
        get = self._environment.get
        lost = {key: row for key, row in self._remembered.items() if get(Table.COMPONENTS, key) != row}
        if lost:
            self._remember(lost)

    def add_modules(self, specs: Sequence[str], directory: str) -> list[str]:
        """Import `MODULE[:CLASS]`s from a directory and register their worker classes.

        Raises:
          BadArguments: the directory is none, or a module does not import or holds no such class; nothing is
        registered then.
          BadHandler: a class cannot be served.
        """
        return self.add(load_all(specs, directory), directory)

    def load_remembered(self) -> list[str]:
        """Import the components remembered from earlier; log the ones that do not import.

        Returns:
          The names of those that did.
        """
        loaded = []
        for key, row in self._environment.scan(Table.COMPONENTS):
            name = key.decode()
            if component_id(name) in self._by_id:
                continue
            try:
                remembered = msgspec.convert(decode_cbor(row), Remembered)
                if not remembered.module:
                    continue
                spec = f"{remembered.module}:{remembered.class_name}"
                self.add(load(spec, remembered.directory), remembered.directory)
                loaded.append(name)
            except (BadArguments, BadHandler, OplogCorrupt, msgspec.ValidationError) as error:
                self._unavailable[name] = str(error)
                self._log.error("component_unavailable", component=name, error=str(error))
        return loaded


def _parts(text: str) -> tuple[str, str]:
    """Return the component and the name of a worker given as COMPONENT/NAME, or as COMPONENT alone: without one."""
    return split_worker(text) if "/" in text else (check_component(text), "")
