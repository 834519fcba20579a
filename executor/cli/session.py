"""One conversation of a command with the executor: connect, ask, hang up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from promissory.oplog.errors import PromissoryError

if TYPE_CHECKING:
    from promissory.executor.client import Client

T = TypeVar("T")


class StoppedWaiting(PromissoryError):
    """The command waits no longer, by `--timeout` or Ctrl-C; what it waited for goes on."""

    kind = "stopped_waiting"
    exit_status = 5


def converse(socket: Path, work: Callable[[Client], Awaitable[T]]) -> T:
    """Connect to the executor, do the work, and return its result.

    Raises:
      Disconnected: there is no executor, or no longer.
      PromissoryError: what the executor answered.
    """
    import anyio

    from promissory.executor.client import connect

    async def conversation() -> T:
        async with connect(socket) as client:
            return await work(client)

    # asyncio, since it is loaded in half the time that trio takes.
    return anyio.run(conversation, backend="asyncio")


def wait(
    socket: Path, work: Callable[[Client], Awaitable[T]], *, timeout: float | None, goes_on: Callable[[], str]
) -> T:
    """`converse`, for work that may take a month.

    Args:
      socket: the executor's.
      work: what to do.
      timeout: how many seconds to wait; None is for ever.
      goes_on: says what becomes of what is waited for.

    Raises:
      StoppedWaiting: the time is over, or the user pressed Ctrl-C.
    """

    async def patiently(client: Client) -> T:
        import anyio

        if timeout is None:
            return await work(client)
        with anyio.move_on_after(timeout):
            return await work(client)
        raise StoppedWaiting(f"no answer within {timeout:g} s; {goes_on()}")

    try:
        return converse(socket, patiently)
    except KeyboardInterrupt:
        raise StoppedWaiting(f"interrupted; {goes_on()}") from None


def request(socket: Path, op: str, **fields: Any) -> Any:
    """Perform one operation and return its value; fields that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return converse(socket, lambda client: client.request(op, **given))


def collect(socket: Path, op: str, **fields: Any) -> tuple[list[dict[str, Any]], bool]:
    """Perform one listing operation; its items, and whether there are more than were asked for."""
    given = {name: value for name, value in fields.items() if value is not None}
    items: list[dict[str, Any]] = []
    end = converse(socket, lambda client: client.request(op, on_item=items.append, **given))
    return items, bool(end and end.get("more"))
