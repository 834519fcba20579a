"""What commands print: tables and colour for people, JSON for scripts, aligned text for pipes."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

_VALUE_CHARACTERS_MAX = 200
"""What people see of one value in a line that holds many."""

_STYLES = {
    "running": "green",
    "suspended": "blue",
    "idle": "bright_black",
    "retrying": "yellow",
    "paused": "red",
    "interrupted": "magenta",
    "scheduled": "bright_black",
    "pending": "blue",
    "completed": "green",
    "failed": "red",
    "resolved": "green",
    "rejected": "red",
    "deleted": "bright_black",
}


def print_json(value: Any) -> None:
    """Print a value as one line of compact JSON; bytes as base64."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_result(result: bytes, *, as_json: bool) -> None:
    """Print a result, which is JSON already: compact, but indented and coloured on a terminal."""
    if as_json or not _on_terminal():
        sys.stdout.write(msgspec.json.format(result, indent=-1).decode() + "\n")
        return
    from rich.console import Console
    from rich.json import JSON

    Console().print(JSON(result.decode()))


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool, more: bool = False) -> None:
    """Print rows as a JSON array or as a table of these columns.

    Args:
      rows: the rows, in order.
      columns: the names of the fields that people see.
      as_json: whether scripts read it.
      more: whether there are more rows than these; stderr is told.
    """
    if as_json:
        print_json(rows)
    else:
        cells = [[_cell(row.get(name)) for name in columns] for row in rows]
        _print_table([name.replace("_", " ") for name in columns], cells)
    if more:
        print(f"promissory: there are more than these {len(rows)}: see --limit", file=sys.stderr)


def print_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a map as a JSON object, or a line for each of its fields; texts of many lines come last, as they are."""
    if as_json:
        print_json(facts)
        return
    texts = {name: value for name, value in facts.items() if isinstance(value, str) and "\n" in value}
    width = max((len(name) for name in facts), default=0)
    for name, value in facts.items():
        if name not in texts:
            print(f"{name.replace('_', ' '):{width}}  {_styled(_cell(value))}")
    for name, text in texts.items():
        print(f"{name.replace('_', ' ')}:")
        for line in text.splitlines():
            print(f"  {_clean(line)}")


def print_line(text: str) -> None:
    """Print a line for people."""
    print(_clean(text))


def entry_line(entry: Mapping[str, Any]) -> str:
    """Return an oplog's entry as a line for people: long values cut, tracebacks left to `worker show`."""
    shown = dict(entry)
    index, kind, timestamp = (shown.pop(name, "") for name in ("index", "kind", "timestamp"))
    shown.pop("traceback", None)
    fields = " ".join(f"{name}={_cut(_cell(value))}" for name, value in shown.items() if value is not None)
    return f"{index:>6}  {timestamp}  {_styled(f'{kind:<11}', 'cyan')} {fields}".rstrip()


def one_line(text: str) -> str:
    """Return the text on one line, with what could command a terminal made visible."""
    return _clean(" ".join(text.split()))


def text_of(data: bytes) -> str:
    """Return bytes as people read them best: as text if they are some, else in base64."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(data).decode()


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return _clean(text_of(value))
    if isinstance(value, (str, int, float)):
        return _clean(str(value))
    return _clean(msgspec.json.encode(value).decode())


def _cut(text: str) -> str:
    return text if len(text) <= _VALUE_CHARACTERS_MAX else text[: _VALUE_CHARACTERS_MAX - 1] + "…"


def _clean(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(ch if ch.isprintable() else repr(ch)[1:-1] for ch in text)


def _styled(text: str, style: str | None = None) -> str:
    style = style or _STYLES.get(text)
    if style is None or not _on_terminal():
        return text
    import typer

    return typer.style(text, fg=style)


def _print_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    if _on_terminal():
        _print_rich_table(head, rows)
        return
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def _print_rich_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        # Text, not str: what users named their workers is not markup.
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console().print(table)
