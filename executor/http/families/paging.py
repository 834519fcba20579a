"""Pages of lists: how many rows, and where the next page begins."""

from __future__ import annotations

from typing import Any

from promissory.executor.http.door.refusals import Refusal
from promissory.executor.http.upstream.upstream import Daemon

COUNT_MAX = 1_000
ALL = 2**31
"""A limit for who needs every row: there are never so many."""


def number(query: dict[str, str], name: str, default: int, *, most: int) -> int:
    """Return a parameter of the query string that is a number, no more than `most`.

    Raises:
      Refusal: it is no number.
    """
    text = query.get(name)
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        raise Refusal(400, f"{name} is a number, not {text[:64]!r}")
    return min(int(text), most)


async def page(
    daemon: Daemon, op: str, fields: dict[str, Any], name: str, count: int, query: dict[str, str]
) -> tuple[list[dict[str, Any]], str | None]:
    """Return a page of a listing operation and the cursor of the next one, if there is one.

    Args:
      daemon: the executor.
      op: the operation.
      fields: its fields.
      name: the field of a row that says where to go on, given as `after`: that of the last row is the cursor.
      count: how many rows.
      query: may hold the `cursor` that an earlier page gave.
    """
    fields["limit"] = count
    if query.get("cursor"):
        fields["after"] = query["cursor"]
    rows: list[dict[str, Any]] = []
    more = await daemon.rows(op, fields, rows)
    return rows, rows[-1][name] if more and rows else None
