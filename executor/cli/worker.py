"""`promissory worker`: look at workers, create and delete them, stop them and let them go on."""

from __future__ import annotations

from typing import Annotated

import typer

from promissory.executor.cli import options
from promissory.executor.cli.output import print_facts, print_json, print_line, print_rows
from promissory.executor.cli.session import collect, request

_COLUMNS = ("worker", "status", "last_index", "pending_invocations", "created_at", "last_error")

app = typer.Typer(help="Workers: list, show, create, delete, interrupt, resume.", rich_markup_mode=None)


@app.command("list")
def list_workers(
    status: Annotated[
        str | None,
        typer.Option("--status", metavar="S", help="running, suspended, idle, retrying, paused or interrupted."),
    ] = None,
    component: Annotated[
        str | None, typer.Option("--component", metavar="COMPONENT", help="Only those of this component.")
    ] = None,
    limit: options.Limit = options.LIMIT,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """List workers."""
    path = options.socket_path(data, socket)
    rows, more = collect(path, "worker.list", status=status, component=component, limit=limit)
    print_rows(rows, _COLUMNS, as_json=as_json, more=more)


@app.command()
def show(
    worker: options.Worker,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Show one worker: its status and, if a step failed, the last error, its traceback and the next attempt."""
    row = request(options.socket_path(data, socket), "worker.show", worker=worker)
    print_facts(row, as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def create(
    worker: options.Worker,
    arguments: Annotated[list[str] | None, typer.Argument(metavar="JSON", help="The constructor's arguments.")] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="K=V", help="A variable of its environment; repeatable.")
    ] = None,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Create a worker with arguments and an environment of its own."""
    variables = options.variables(env or [])
    args = options.json_array(arguments or [])
    answer = request(
        options.socket_path(data, socket), "worker.create", worker=worker, args=args, env=variables or None
    )
    _report(answer, "created", as_json=as_json)


@app.command()
def delete(
    worker: options.Worker,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Delete a worker and all it remembers; whoever waits for it is told."""
    answer = request(options.socket_path(data, socket), "worker.delete", worker=worker)
    _report(answer, "deleted", as_json=as_json)


@app.command()
def interrupt(
    worker: options.Worker,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Stop a worker until it is resumed."""
    answer = request(options.socket_path(data, socket), "worker.interrupt", worker=worker)
    _report(answer, "interrupted", as_json=as_json)


@app.command()
def resume(
    worker: Annotated[str | None, typer.Argument(metavar="COMPONENT/NAME", help="The worker.")] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All that are paused.")] = False,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Let a paused or interrupted worker go on."""
    if (worker is None) != everyone:
        raise typer.BadParameter("give COMPONENT/NAME, or --all and no worker")
    path = options.socket_path(data, socket)
    if not everyone:
        _report(request(path, "worker.resume", worker=worker), "resumed", as_json=as_json)
        return
    answer = request(path, "worker.resume", all=True)
    if as_json:
        print_json(answer)
    else:
        print_line(f"resumed {answer['resumed']}")


def _report(answer: dict[str, str], done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        print_line(f"{done} {answer['worker']}")
