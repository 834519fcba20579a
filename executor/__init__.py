"""The host side: `open` runs an executor in one's own trio program, `connect` reaches the one behind a socket.

`http.app` is an ASGI application that does the latter for whoever speaks HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from executor import http
    from executor.client import connect
    from executor.embedded import open  # noqa: A004 - used as `executor.open`

__all__ = ["connect", "http", "open"]

_HOMES = {"connect": "executor.client", "open": "executor.embedded"}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: a client needs no trio, and the command line neither."""
    from importlib import import_module

    home = _HOMES.get(name)
    if name == "http":
        return import_module("executor.http")
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)
