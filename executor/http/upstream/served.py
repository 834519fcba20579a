"""What the executor serves, as far as requests need to know it: kept, and asked for again when in doubt."""

from __future__ import annotations

from typing import Any

import attrs

from promissory.executor.http.door.refusals import Refusal
from promissory.executor.http.upstream.attempt import Attempt
from promissory.executor.http.upstream.upstream import Daemon


@attrs.frozen
class HandlerRow:
    """A handler or query.

    Args:
      name: its name.
      is_query: whether it is a query.
      parameters_count: how many parameters it takes.
      is_void: whether its result is None by its annotation: over HTTP that is an empty body.
    """

    name: str
    is_query: bool
    parameters_count: int
    is_void: bool

    def arguments(self, body: bytes) -> bytes:
        """Return the arguments that a body holds, as JSON: an array, or an object by name.

        One parameter's body is its value; several come as an object or an array. Whether they fit, the executor says.
        """
        if self.parameters_count == 1 and body:
            return b"[%b]" % body
        if not self.parameters_count and body.strip() in _NOTHINGS:
            return b"[]"
        return body or b"[]"


_NOTHINGS = frozenset({b"", b"null", b"[]", b"{}"})


@attrs.frozen
class ComponentRow:
    """A component, and its handlers and queries by name."""

    name: str
    is_ephemeral: bool
    handlers: dict[str, HandlerRow]


class Table:
    """The components that are registered.

    Args:
      daemon: where it is asked for.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._life = -1
        self._refreshing: Attempt | None = None
        self._by_text: dict[str, ComponentRow] = {}
        self.listed: list[dict[str, Any]] = []
        """As `component.list` gives it."""

    def known(self, name: str) -> ComponentRow | None:
        """Return a component by name or id if it is known; who gets None asks again with `component`."""
        return self._by_text.get(name) if self._life == self._daemon.life else None

    async def component(self, name: str) -> ComponentRow:
        """Return a component by name or id, asking the executor if it is not known.

        Raises:
          Refusal: there is none (404), or it is known but not available (503).
          PromissoryError: the executor is away, or refuses.
        """
        found = self.known(name)
        if found is None:
            await self.refresh()
            found = self._by_text.get(name)
        if found is None:
            why = (await self._daemon.request("status", {}))["unavailable"].get(name)
            if why is not None:
                raise Refusal(503, why)
            raise Refusal(404, f"service '{name}' not found, make sure to register the service before calling it.")
        return found

    async def handler(self, component: ComponentRow, name: str) -> HandlerRow:
        """Return a handler or query of a component, asking the executor if it is not known.

        Raises:
          Refusal: there is none.
          PromissoryError: the executor is away, or refuses.
        """
        found = component.handlers.get(name)
        if found is None:
            found = (await self._again(component)).handlers.get(name)
        if found is None:
            raise Refusal(404, f"handler '{name}' not found in service '{component.name}'")
        return found

    async def _again(self, component: ComponentRow) -> ComponentRow:
        await self.refresh()
        return self._by_text.get(component.name, component)

    async def refresh(self) -> None:
        """Ask the executor what it serves; those who ask meanwhile share one more answer.

        Raises:
          PromissoryError: the executor is away, or refuses.
        """
        if self._refreshing is not None:
            # What is under way may have been asked before the change that this one is about.
            await self._refreshing.ended()
        while self._refreshing is not None:
            if await self._refreshing.is_done():
                return
        self._refreshing = Attempt()
        try:
            with self._refreshing:
                await self._ask()
        finally:
            self._refreshing = None

    async def _ask(self) -> None:
        life = self._daemon.life
        listed = await self._daemon.request("component.list", {})
        self._life = life
        if listed != self.listed or not self._by_text:
            self.listed = listed
            self._by_text = {}
            for shown in listed:
                row = _row(shown)
                self._by_text[row.name] = self._by_text[shown["id"]] = row


def _row(shown: dict[str, Any]) -> ComponentRow:
    handlers = {
        handler["name"]: HandlerRow(
            handler["name"],
            handler["kind"] == "query",
            len(parameters_of(handler["parameters"]).get("properties", ())),
            handler["result"].get("type") == "null",
        )
        for handler in shown["handlers"]
    }
    return ComponentRow(shown["component"], shown["ephemeral"], handlers)


def parameters_of(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the object of parameters itself, which may be a reference into its own `$defs`."""
    reference: str = schema.get("$ref", "")
    found: dict[str, Any] = schema.get("$defs", {}).get(reference.rpartition("/")[2], schema)
    return found
