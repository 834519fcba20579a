"""`promissory invocation`: find invocations again, wait for them, and call them off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from promissory.executor.cli import options
from promissory.executor.cli.output import print_facts, print_json, print_line, print_result, print_rows
from promissory.executor.cli.session import collect, request, wait

if TYPE_CHECKING:
    from promissory.executor.client import Client

_COLUMNS = ("invocation", "worker", "function", "status", "key", "created_at")

app = typer.Typer(help="Invocations: list, show, attach, cancel.", rich_markup_mode=None)


@app.command("list")
def list_invocations(
    worker: Annotated[
        str | None, typer.Option("--worker", metavar="COMPONENT/NAME", help="Only those of this worker.")
    ] = None,
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="S", help="scheduled, pending, running, completed or failed."),
    ] = None,
    limit: options.Limit = options.LIMIT,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """List invocations."""
    path = options.socket_path(data, socket)
    rows, more = collect(path, "invocation.list", worker=worker, status=status, limit=limit)
    print_rows(rows, _COLUMNS, as_json=as_json, more=more)


@app.command()
def show(
    invocation: options.Invocation,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Show one invocation."""
    row = request(options.socket_path(data, socket), "invocation.show", invocation=invocation)
    print_facts(row, as_json=as_json)


@app.command()
def attach(
    invocation: options.Invocation,
    timeout: options.Timeout = None,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Wait for an invocation's result and print it."""

    async def attend(client: Client) -> bytes:
        return bytes((await client.request("invocation.attach", invocation=invocation))["result"])

    result = wait(
        options.socket_path(data, socket),
        attend,
        timeout=timeout,
        goes_on=lambda: f"the invocation goes on: {invocation}",
    )
    print_result(result, as_json=as_json)


@app.command()
def cancel(
    invocation: options.Invocation,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Cancel an invocation, whether it waits for its turn or runs.

    A running one may clean up first; the command does not wait for that.
    """
    answer = request(options.socket_path(data, socket), "invocation.cancel", invocation=invocation)
    cancelled = bool(answer["cancelled"])
    if as_json:
        print_json(cancelled)
    else:
        print_line(f"cancelled {invocation}" if cancelled else f"{invocation} had already completed")
