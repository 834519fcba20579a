"""The options that many commands share, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

DEFAULT_DATA = Path("promissory-data")
DEFAULT_HTTP = "127.0.0.1:8080"
LIMIT = 1000

Data: TypeAlias = Annotated[
    Path, typer.Option("--data", envvar="PROMISSORY_DATA", metavar="DIR", help="The executor's data directory.")
]
Socket: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--socket", envvar="PROMISSORY_SOCKET", metavar="PATH", help="Its admin socket; admin.sock in DIR if not given."
    ),
]
Config: TypeAlias = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", exists=True, dir_okay=False, help="promissory.toml.")
]
Http: TypeAlias = Annotated[
    str, typer.Option("--http", envvar="PROMISSORY_HTTP", metavar="HOST:PORT", help="Where HTTP is served.")
]
TokenFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="Holds the bearer token that HTTP requests must carry, or PROMISSORY_TOKEN.",
    ),
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Limit: TypeAlias = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="The most that is listed.")]
Timeout: TypeAlias = Annotated[
    float | None,
    typer.Option("--timeout", min=0, metavar="SECONDS", help="How long to wait; what is waited for goes on."),
]
Worker: TypeAlias = Annotated[
    str, typer.Argument(metavar="COMPONENT/NAME", help="'/' and '%' in NAME percent-encoded.")
]
Target: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="COMPONENT[/NAME]",
        help="'/' and '%' in NAME percent-encoded; an ephemeral component is called without a name.",
    ),
]
Promise: TypeAlias = Annotated[str, typer.Argument(metavar="PROMISE", help="COMPONENT/NAME/INDEX.")]
Invocation: TypeAlias = Annotated[str, typer.Argument(metavar="INVOCATION", help="The id that starts with inv_1.")]


def socket_path(data: Path, socket: Path | None) -> Path:
    """Return where the admin socket is: as given, or in its place in the data directory."""
    return data / "admin.sock" if socket is None else socket


def json_array(arguments: list[str]) -> bytes:
    """Join arguments, each of them JSON, to a JSON array, leaving their text as it is.

    Raises:
      typer.BadParameter: one of them is not JSON.
    """
    import msgspec

    for argument in arguments:
        try:
            msgspec.json.decode(argument)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as exc:
            if argument.startswith("--"):
                raise typer.BadParameter(f"no such option: {argument}") from exc
            raise typer.BadParameter(
                f"{argument!r} is not JSON: write a string with its quotes, as '\"text\"', in quotes of the shell"
            ) from exc
    return b"[" + b",".join(argument.encode() for argument in arguments) + b"]"


def variables(pairs: list[str]) -> dict[str, str]:
    """Return the variables of an environment, each given as K=V.

    Raises:
      typer.BadParameter: one is not of that form, is no text, or is given twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"--env {pair!r} is not of the form K=V")
        if name in found:
            raise typer.BadParameter(f"--env gives {name!r} twice")
        try:
            pair.encode()
        except UnicodeEncodeError as exc:
            raise typer.BadParameter(f"--env {name!r} is not UTF-8 text") from exc
        found[name] = value
    return found


def payload(text: str | None, file: Path | None) -> bytes:
    """Return the bytes that `--data` or `--file` give; without either there are none.

    Raises:
      typer.BadParameter: both are given, or the file cannot be read.
    """
    if text is not None and file is not None:
        raise typer.BadParameter("--data and --file exclude each other")
    if file is None:
        return b"" if text is None else text.encode("utf-8", "surrogateescape")
    try:
        if str(file) == "-":
            import sys

            return sys.stdin.buffer.read()
        return file.read_bytes()
    except OSError as exc:
        raise typer.BadParameter(f"cannot read {file}: {exc.strerror}") from exc
