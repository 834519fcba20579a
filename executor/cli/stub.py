"""`promissory stub`: write the interface of a component down, for code that calls it without its source."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from promissory.executor.cli import options
from promissory.executor.cli.output import print_line
from promissory.executor.cli.session import request
from promissory.oplog.errors import NotFound, PromissoryError


class StubDiffers(PromissoryError):
    """The file is not what would be written now."""

    kind = "stub_differs"


def add_to(app: typer.Typer) -> None:
    """Add this command to the app."""
    app.command()(stub)


def stub(
    component: Annotated[str, typer.Argument(metavar="COMPONENT", help="A component's name or id.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The file to write; - is the standard output.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; fail if FILE is not what would be written.")
    ] = False,
    data: options.Data = options.DEFAULT_DATA,
    socket: options.Socket = None,
) -> None:
    """Write a typed class that stands for a component where its source is not at hand.

    The class has its handlers and queries, and works wherever the real one does: in `promissory.worker(...)` and with
    clients. A file that is up to date is not touched.
    """
    is_stdout = str(output) == "-"
    if check and is_stdout:
        raise typer.BadParameter("--check compares with a file: give it with -o")
    if output.is_dir():
        raise typer.BadParameter(f"{output} is a directory")
    from promissory.executor.stubgen import stub_source

    source = stub_source(_find(component, request(options.socket_path(data, socket), "component.list")))
    if is_stdout:
        sys.stdout.write(source)
        return
    written = output.read_bytes() if output.exists() else None
    if written == source.encode():
        print_line(f"{output} is up to date")
    elif check:
        _print_difference(written, source, output)
        problem = "is missing" if written is None else "does not match what is registered"
        raise StubDiffers(f"{output} {problem}: write it with `promissory stub {component} -o {output}`")
    else:
        _replace(output, source.encode())
        print_line(f"wrote {output}")


def _find(component: str, known: list[dict[str, Any]]) -> dict[str, Any]:
    for one in known:
        if component in (one["component"], one["id"]):
            return one
    names = ", ".join(one["component"] for one in known) or "none"
    raise NotFound(f"there is no component {component!r}", expected=names)


def _print_difference(written: bytes | None, source: str, file: Path) -> None:
    import difflib

    before = (written or b"").decode("utf-8", "replace").splitlines()
    for line in difflib.unified_diff(before, source.splitlines(), str(file), "what is registered", lineterm=""):
        print("".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in line), file=sys.stderr)


def _replace(file: Path, content: bytes) -> None:
    """Put a file in its place whole: who reads it meanwhile, and who comes after a crash, sees the old or the new."""
    place = file.resolve()
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        with beside.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        if place.exists():
            beside.chmod(place.stat().st_mode & 0o7777)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)
