"""`promissory promise`: look at promises, settle them, wait for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promissory.executor.cli import options
from promissory.executor.cli.output import print_facts, print_json, print_line, print_rows
from promissory.executor.cli.session import collect, request, wait

if TYPE_CHECKING:
    from promissory.executor.client import Client

Text = Annotated[str | None, typer.Option("--data", metavar="TEXT", help="The payload, or the reason.")]
File = Annotated[Path | None, typer.Option("--file", metavar="PATH", help="Read it from a file; - is stdin.")]
DataDirectory = Annotated[
    Path, typer.Option("--data-dir", envvar="PROMISSORY_DATA", metavar="DIR", help="The executor's data directory.")
]

app = typer.Typer(help="Promises: list, show, complete, reject, delete, await.", rich_markup_mode=None)


@app.command("list")
def list_promises(
    state: Annotated[
        str, typer.Option("--state", metavar="S", help="pending, resolved, rejected or deleted.")
    ] = "pending",
    limit: options.Limit = options.LIMIT,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """List promises, the pending ones unless told otherwise."""
    rows, more = collect(options.socket_path(data, socket), "promise.list", state=state, limit=limit)
    print_rows(rows, ("promise", "state", "created_at"), as_json=as_json, more=more)


@app.command()
def show(
    promise: options.Promise,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Show a promise and, if it is settled, its outcome."""
    answer = request(options.socket_path(data, socket), "promise.show", promise=promise)
    print_facts(answer, as_json=as_json)


@app.command()
def complete(
    promise: options.Promise,
    text: Text = None,
    file: File = None,
    data: DataDirectory = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Resolve a promise with a payload, empty if none is given."""
    path = options.socket_path(data, socket)
    answer = request(path, "promise.complete", promise=promise, data=options.payload(text, file))
    _report(promise, bool(answer["settled"]), "resolved", as_json=as_json)


@app.command()
def reject(
    promise: options.Promise,
    text: Text = None,
    file: File = None,
    data: DataDirectory = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Reject a promise with a reason."""
    try:
        reason = options.payload(text, file).decode()
    except UnicodeDecodeError as exc:
        raise typer.BadParameter("the reason is not UTF-8 text") from exc
    path = options.socket_path(data, socket)
    answer = request(path, "promise.reject", promise=promise, message=reason)
    _report(promise, bool(answer["settled"]), "rejected", as_json=as_json)


@app.command()
def delete(
    promise: options.Promise,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Delete a promise; whoever waits for it is told."""
    answer = request(options.socket_path(data, socket), "promise.delete", promise=promise)
    deleted = bool(answer["deleted"])
    if as_json:
        print_json(deleted)
    else:
        print_line(f"deleted {promise}" if deleted else f"{promise} was deleted before")


@app.command("await")
def await_promise(
    promise: options.Promise,
    timeout: options.Timeout = None,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Wait until a promise is settled, and show its outcome."""

    async def attend(client: Client) -> dict[str, Any]:
        answer: dict[str, Any] = await client.request("promise.await", promise=promise)
        return answer

    answer = wait(
        options.socket_path(data, socket), attend, timeout=timeout, goes_on=lambda: f"{promise} is not settled"
    )
    print_facts(answer, as_json=as_json)


def _report(promise: str, settled: bool, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(settled)
    else:
        print_line(f"{done} {promise}" if settled else f"{promise} was settled before")
