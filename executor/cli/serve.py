"""`promissory serve` and `promissory register`: which components an executor runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from promissory.executor.cli import options
from promissory.executor.cli.output import print_json, print_line
from promissory.executor.cli.session import request

_LEVELS = ("debug", "info", "warning", "error", "critical")

Modules = Annotated[list[str], typer.Argument(metavar="MODULE[:CLASS]", help="Modules that hold workers.")]
OptionalModules = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODULE[:CLASS]", help="Modules that hold workers; those remembered if none."),
]


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    app.command()(serve)
    app.command()(register)


def serve(
    modules: OptionalModules = None,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    http: options.Http = options.DEFAULT_HTTP,
    no_http: Annotated[bool, typer.Option("--no-http", help="No HTTP.")] = False,
    token_file: options.TokenFile = None,
    config: options.Config = None,
    log_level: Annotated[str | None, typer.Option("--log-level", metavar="L", help="|".join(_LEVELS))] = None,
) -> int:
    """Run an executor until SIGTERM or SIGINT."""
    if log_level is not None and log_level.lower() not in _LEVELS:
        raise typer.BadParameter(f"--log-level is one of {', '.join(_LEVELS)}")
    from promissory.executor.cli.gateway import checked_address, read_token
    from promissory.executor.server.daemon import run

    return run(
        modules=modules or [],
        data=data,
        socket=socket,
        http=None if no_http else checked_address(http),
        token=None if no_http else read_token(token_file),
        config=config,
        log_level=log_level.lower() if log_level else None,
    )


def register(
    modules: Modules,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    as_json: options.Json = False,
) -> None:
    """Add modules to a running executor.

    Their workers are served, and remembered across restarts.
    """
    path = options.socket_path(data, socket)
    names = request(path, "component.register", modules=modules, directory=str(Path.cwd()))
    if as_json:
        print_json(names)
        return
    for name in names:
        print_line(f"registered {name}")
