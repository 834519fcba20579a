"""The greeting: what a server says of itself before all else, how a client takes it, and what follows from it.

The number of the protocol changes only if old and new cannot talk at all. What is added to it has a name, a *feature*:
the server lists those that it has, and a client sends a new field only to a server that lists its feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from promissory.executor.protocol.errors import error_from_wire
from promissory.executor.version import VERSION
from promissory.oplog.errors import Disconnected

PROTOCOL = 1

FEATURES: tuple[str, ...] = ()
"""What this version has beyond protocol 1 as it was first written, sorted."""

FIELD_FEATURES: Mapping[tuple[str, str], str] = {}
"""The feature that a server must have to be sent a field, by operation and field.

Only for fields without which the request still means the same: they are left out for an older server. What cannot do
without is a new operation, of which an older server says `not_found`.
"""


@attrs.frozen
class Hello:
    """A server's greeting.

    Args:
      executor: its version.
      features: what it has beyond protocol 1 as it was first written; a server that lists none has none.
    """

    executor: str
    features: frozenset[str]

    def fitting(self, op: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the fields of a request without those that this server does not know."""
        if not FIELD_FEATURES:
            return fields
        return {
            name: value
            for name, value in fields.items()
            if (feature := FIELD_FEATURES.get((op, name))) is None or feature in self.features
        }


def hello() -> dict[str, Any]:
    """Return the map that a server greets with."""
    return {"protocol": PROTOCOL, "executor": VERSION, "features": list(FEATURES)}


def check_hello(path: str, frames: list[dict[str, Any]]) -> Hello:
    """Take the frames that a server began with.

    Args:
      path: of its socket, for the message.
      frames: what came first; there is at least one.

    Raises:
      PromissoryError: the server's own, if it refuses the connection.
      Disconnected: another protocol is spoken there.
    """
    greeting = frames[0]
    if isinstance(greeting.get("error"), Mapping):
        raise error_from_wire(greeting["error"])
    if "protocol" not in greeting or len(frames) > 1:
        raise Disconnected(f"no executor at {path}: another protocol is spoken there (no greeting)")
    if greeting["protocol"] != PROTOCOL:
        raise Disconnected(f"{path} speaks protocol {greeting['protocol']!r}, this version speaks {PROTOCOL}")
    listed = greeting.get("features")
    features = listed if isinstance(listed, list) else []
    return Hello(str(greeting.get("executor", "")), frozenset(name for name in features if isinstance(name, str)))
