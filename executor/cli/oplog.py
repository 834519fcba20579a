"""`promissory oplog`: print a worker's record, from the file itself or as it grows."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from promissory.executor.cli import options
from promissory.executor.cli.output import entry_line, print_json
from promissory.executor.cli.session import converse
from promissory.oplog.errors import NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from promissory.executor.client import Client


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command()(oplog)


def oplog(
    worker: options.Worker,
    first: Annotated[int, typer.Option("--from", min=1, metavar="N", help="The first index to print.")] = 1,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as entries are appended, until Ctrl-C.")] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="The most that is printed.")] = None,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Print a worker's oplog.

    Without --follow no executor needs to run.
    """
    if follow:
        _follow(options.socket_path(data, socket), worker, first, limit, as_json=as_json)
        return
    if not data.is_dir():
        raise NotFound(f"no data directory at {data}")
    from promissory.executor.cli.offline import read_oplog
    from promissory.oplog.ids import split_worker

    component, name = split_worker(worker)
    entries = iter(read_oplog(data, component, name, first))
    for entry in islice(entries, limit):
        _print_entry(entry, as_json=as_json)
    if limit is not None and next(entries, None) is not None:
        print(f"promissory: there are more than these {limit}: see --limit", file=sys.stderr)


def _follow(socket: Path, worker: str, first: int, limit: int | None, *, as_json: bool) -> None:
    async def work(client: Client) -> None:
        printed_count = 0
        async with client.stream("oplog.follow", **{"worker": worker, "from": first}) as entries:
            async for entry in entries:
                _print_entry(entry, as_json=as_json)
                sys.stdout.flush()
                printed_count += 1
                if printed_count == limit:
                    return

    try:
        converse(socket, work)
    except KeyboardInterrupt:
        return


def _print_entry(entry: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(entry)
    else:
        print(entry_line(entry))
