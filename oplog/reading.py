"""Reading oplogs: the one place where records become entries, with `SameAs` put in its place for whoever replays.

Nothing here knows where records lie: a `Get` gives the one under a key, a `Run` many at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from promissory.oplog.codec import decode_entries, decode_entry
from promissory.oplog.entries import Completed, Ended, Entry, SameAs, Settled
from promissory.oplog.errors import NewerFormat, OplogCorrupt
from promissory.oplog.ids import OplogIndex
from promissory.oplog.tables import PAIR, oplog_key

Get = Callable[[bytes], "bytes | None"]
"""Returns the record under a key of `OPLOG`; None if there is none."""

Run = Callable[[bytes, int], list[tuple[bytes, bytes]]]
"""Returns at most so many keys and records from a key on, in order; it may know fewer records than `Get`, the last."""


def entry(get: Get, ordinal: int, index: int) -> Entry:
    """Return one entry as it is recorded.

    Raises:
      OplogCorrupt: it is missing or not what was written; the error has the index.
      NewerFormat: a later version wrote it; likewise.
    """
    key = oplog_key(ordinal, index)
    record = get(key)
    if record is None:
        raise OplogCorrupt(f"entry {index} is missing", index=index)
    return _decode(key, record, index)


def recorded(rows: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[OplogIndex, Entry]]:
    """Iterate over the entries of keys and records as they are recorded, for people.

    Raises:
      OplogCorrupt: one is not what was written; the error has the index, and those before have been given.
      NewerFormat: a later version wrote it; likewise.
    """
    for key, record in rows:
        index = OplogIndex(PAIR.unpack(key)[1])
        yield index, _decode(key, record, index)


def entries(get: Get, run: Run, ordinal: int, first: int, last: int) -> list[Entry]:
    """Return a worker's entries from `first` to `last`, both included, each `Ended` with its outcome in place.

    Raises:
      OplogCorrupt: one of them, or what it refers to, is missing or not what was written; the error has the index.
      NewerFormat: a later version wrote it; likewise.
    """
    rows = run(oplog_key(ordinal, first), last - first + 1)
    end = oplog_key(ordinal, last)
    if rows and rows[-1][0] > end:
        rows = [row for row in rows if row[0] <= end]
    found: list[Entry] = []
    same: list[int] = []
    # The last of n rows has the nth index: none before it is missing. Else `entry` says which is, or what is wrong.
    if rows and rows[-1][0] == oplog_key(ordinal, first + len(rows) - 1):
        decoded = decode_entries(rows)
        if decoded is not None:
            found, same = decoded
    for index in range(first + len(found), last + 1):
        one = entry(get, ordinal, index)
        if type(one) is Ended and type(one.outcome) is SameAs:
            same.append(len(found))
        found.append(one)
    for at in same:
        ended = found[at]
        assert type(ended) is Ended
        assert type(ended.outcome) is SameAs
        index = ended.outcome.index
        source = found[index - first] if first <= index <= last else entry(get, ordinal, index)
        found[at] = _in_place(ended, source, index)
    return found


def resolved(get: Get, ordinal: int, ended: Ended) -> Ended:
    """Return an `Ended` with its outcome in place, where it refers to another entry.

    Raises:
      OplogCorrupt: that entry is missing, not what was written, or has no outcome; the error has its index.
      NewerFormat: a later version wrote it; likewise.
    """
    if type(ended.outcome) is not SameAs:
        return ended
    index = ended.outcome.index
    return _in_place(ended, entry(get, ordinal, index), index)


def _in_place(ended: Ended, source: Entry, index: int) -> Ended:
    if type(source) is not Settled and type(source) is not Completed:
        raise OplogCorrupt(f"entry {index} has no outcome", index=index)
    return msgspec.structs.replace(ended, outcome=source.outcome)


def _decode(key: bytes, record: bytes, index: int) -> Entry:
    try:
        return decode_entry(key, record)
    except (OplogCorrupt, NewerFormat) as error:
        error.index = index
        error.message = f"entry {index}: {error.message}"
        raise
