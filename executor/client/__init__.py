"""The client of an executor: everything that can be asked of one over its admin socket, under trio or asyncio.

    async with promissory.connect("promissory-data/admin.sock") as client:
        await client.invoke("worker://approval/order-7", "submit", {"order_id": "7"})

Arguments and results are JSON, payloads of promises are bytes. A client may be used from many tasks at once; their
requests travel together on one connection and are answered in any order, but two for one worker are taken in the
order in which they were made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promissory.executor.client.client import Client, connect
    from promissory.executor.client.stream import ItemStream
    from promissory.oplog.errors import Disconnected

__all__ = ["Client", "Disconnected", "ItemStream", "connect"]

_HOMES = {
    "Client": f"{__name__}.client",
    "connect": f"{__name__}.client",
    "ItemStream": f"{__name__}.stream",
    "Disconnected": "promissory.oplog.errors",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the gateway needs the connection alone, not what reads results."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
