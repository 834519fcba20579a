"""The command line: `promissory`, also `python -m promissory`.

`main` is the one place where a failure becomes a line on stderr and an exit status: 0 done, 2 the command line was
wrong, else that of the class of the error in the tree (`promissory.oplog.errors`). Each file here holds one group of
commands; what takes long to import (anyio, rich, the store, the daemon) they import where they use it, so that
`promissory --help` and a wrong option answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from promissory.executor.cli import admin, gateway, invocation, invoke, oplog, promise, serve, stub, worker
from promissory.executor.cli.output import one_line
from promissory.executor.version import VERSION
from promissory.oplog.errors import PromissoryError, RequestError

__all__ = ["main"]

# typer carries its own copy of click from some version on, and names only this one of its errors: the base of all
# that stand for a wrong command line is the class above it.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

_INTERRUPTED = 130
"""What typer makes of a Ctrl-C that no command has dealt with."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status.

    Args:
      argv: the arguments, without the program's name; those of the process if not given.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _app()(arguments or ["--help"], prog_name="promissory", standalone_mode=False)
        sys.stdout.flush()
    except _UsageError as exc:
        return _fail_usage(exc)
    except PromissoryError as exc:
        return _fail(_explained(exc), exc.exit_status)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as exc:
        return _fail(str(exc), 1)
    if status == _INTERRUPTED:
        return _fail("interrupted", 1)
    return status if isinstance(status, int) else 0


def _app() -> typer.Typer:
    app = typer.Typer(
        name="promissory",
        help="Durable workers and durable promises in one process, on one file.",
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for commands in (serve, invoke, oplog, stub, gateway, admin):
        commands.add_to(app)
    for name, group in (("invocation", invocation), ("worker", worker), ("promise", promise)):
        app.add_typer(group.app, name=name)
    return app


def _root(
    version: bool = typer.Option(False, "--version", is_eager=True, callback=lambda given: _show_version(given)),
) -> None:
    """Durable workers and durable promises in one process, on one file."""


def _show_version(given: bool) -> None:
    if given:
        typer.echo(f"promissory {VERSION}")
        raise typer.Exit


def _explained(error: PromissoryError) -> str:
    """Add to what the asker did wrong what would have been right; those errors leave it out of their messages."""
    if not isinstance(error, RequestError) or not error.expected:
        return str(error)
    return f"{error} (there is: {error.expected})"


def _fail(message: str, status: int) -> int:
    print(f"promissory: {one_line(message)}", file=sys.stderr)
    return status


def _fail_usage(exc: Exception) -> int:
    context = getattr(exc, "ctx", None)
    command = context.command_path if context is not None else "promissory"
    said: str = exc.format_message() if hasattr(exc, "format_message") else str(exc)
    print(f"{command}: {one_line(said).rstrip('.')} (see '{command} --help')", file=sys.stderr)
    return 2
