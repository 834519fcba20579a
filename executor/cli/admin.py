"""`promissory components`, `status`, `verify`, `backup`: the executor as a whole and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from promissory.executor.cli import options
from promissory.executor.cli.output import print_facts, print_json, print_line, print_rows
from promissory.executor.cli.session import request
from promissory.oplog.errors import NotFound, OplogCorrupt


def add_to(app: typer.Typer) -> None:
    """Add these commands to the app."""
    for command in (components, status, verify, backup):
        app.command()(command)


def components(
    data: options.Data = options.DEFAULT_DATA, socket: options.Socket = None, as_json: options.Json = False
) -> None:
    """List the components, with their handlers and queries."""
    rows: list[dict[str, Any]] = request(options.socket_path(data, socket), "component.list")
    if not as_json:
        rows = [{**row, "handlers": ", ".join(handler["name"] for handler in row["handlers"])} for row in rows]
    print_rows(rows, ("component", "version", "handlers", "id"), as_json=as_json)


def status(
    data: options.Data = options.DEFAULT_DATA, socket: options.Socket = None, as_json: options.Json = False
) -> None:
    """Show what the executor is doing."""
    facts: dict[str, Any] = request(options.socket_path(data, socket), "status")
    if not as_json:
        unavailable = facts.pop("unavailable", {})
        facts["components"] = ", ".join(facts["components"])
        if unavailable:
            facts["unavailable"] = "; ".join(unavailable.values())
    print_facts(facts, as_json=as_json)


def verify(
    data: options.Data = options.DEFAULT_DATA,
    mends: Annotated[
        bool, typer.Option("--repair", help="First write those tables anew; no executor may be running.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Check the whole record.

    Every entry is read, every table computed from them again and compared; an executor may be running.
    """
    _require(data)
    from promissory.executor.cli.offline import verify as findings_of

    if mends:
        from promissory.executor.cli.offline import repair

        rows_count = repair(data)
        if not as_json:
            print_line(f"{rows_count or 'no'} row{'' if rows_count == 1 else 's'} mended")
    findings = []
    for finding in findings_of(data):
        findings.append(
            {"kind": finding.kind, "worker": finding.worker, "index": finding.index, "message": str(finding)}
        )
        if not as_json:
            print_line(str(finding))
    if as_json:
        print_json(findings)
    if findings:
        raise OplogCorrupt(f"{data} has {len(findings)} finding{'s' if len(findings) > 1 else ''}")
    if not as_json:
        print_line("no findings")


def backup(
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="A directory that is not there yet, or empty.")],
    data: options.Data = options.DEFAULT_DATA,
) -> None:
    """Copy the data directory.

    The copy is that of one moment; an executor may be running.
    """
    _require(data)
    from promissory.executor.cli.offline import backup as copy

    copy(data, destination)
    print_line(f"{data} is copied to {destination}")


def _require(data: Path) -> None:
    if not data.is_dir():
        raise NotFound(f"no data directory at {data}")
