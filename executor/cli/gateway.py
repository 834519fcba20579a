"""`promissory gateway`: serve HTTP for an executor that runs elsewhere on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from promissory.executor.cli import options
from promissory.oplog.errors import BadArguments


def add_to(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(gateway)


def gateway(
    http: options.Http = options.DEFAULT_HTTP,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
    config: options.Config = None,
    token_file: options.TokenFile = None,
    listener: Annotated[int | None, typer.Option("--listener", hidden=True)] = None,
) -> int:
    """Serve HTTP until SIGTERM or SIGINT, as a client of the admin socket.

    `promissory serve` starts one by itself; this is for running it alone, as another user's process or on another port.
    """
    import socket as sockets
    import sys

    checked_address(http)
    from promissory.executor.config import load_config
    from promissory.executor.http.listening import address_of, bind
    from promissory.executor.http.process import run

    # A daemon has told its gateway by the environment what it needs.
    limits = load_config(None if listener is not None else config or data / "promissory.toml", os.environ)
    token = read_token(token_file)
    bound = bind(http) if listener is None else sockets.socket(fileno=listener)
    if listener is None:
        print(f"serving http://{address_of(bound)}", file=sys.stderr)
    return run(
        admin=options.socket_path(data, socket),
        listener=bound,
        config=limits,
        token=token,
        until_stdin_ends=listener is not None,
    )


def checked_address(http: str) -> str:
    """Return the address if it is HOST:PORT.

    Raises:
      typer.BadParameter: it is not.
    """
    from promissory.executor.http.listening import split_address

    try:
        split_address(http)
    except BadArguments as error:
        raise typer.BadParameter(f"--http: {error}") from None
    return http


def read_token(token_file: Path | None) -> str | None:
    """Return the bearer token: the file's, else that of `PROMISSORY_TOKEN`; None if there is neither.

    Raises:
      BadArguments: the file cannot be read, or the token is empty or not plain ASCII.
    """
    token = os.environ.get("PROMISSORY_TOKEN")
    if token_file is not None:
        try:
            token = token_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadArguments(f"cannot read the token file {token_file}: {error}") from None
    if token is not None and not (token.isascii() and token.isprintable() and token and " " not in token):
        raise BadArguments("the token must be printable ASCII without blanks")
    return token
