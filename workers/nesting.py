"""How deep JSON may be nested that crosses a worker's border: arguments, results, values of promises.

Reading, writing and copying a value takes the interpreter's stack for each level of nesting. How much of it is left
differs between the door, a step and its replay, so what is near its end could be taken here and fail there. This limit
is the same everywhere and far below: what costs most, a copy for `run`, takes four frames a level, of 1 000 or so.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import msgspec

NESTING_MAX = 128
"""How many arrays and objects of one value may be within one another."""

ARGUMENTS_NESTING_MAX = NESTING_MAX + 1
"""The same of the array, or object, that holds the arguments of a call."""

_encode = msgspec.json.Encoder().encode

_OTHERS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""What each bracket adds to the depth, as signed bytes."""


def encode(value: Any, most: int = NESTING_MAX) -> bytes:
    """Return a value as JSON that is nested no deeper than `most`.

    Raises:
      ValueError: it is nested deeper: the same error whether or not that was too much for the interpreter as well.
      Exception: it has no form as data; a value's own hooks may raise anything.
    """
    try:
        data = _encode(value)
    except RecursionError:
        data = None
    if data is None or nested_too_deep(data, most):
        raise ValueError(f"nested more than {NESTING_MAX} deep")
    return data


def nested_too_deep(data: bytes, most: int = NESTING_MAX) -> int:
    """Return how deep a JSON text is nested if that is deeper than `most`, else 0.

    Of a text that is no JSON, what stands before its first error is counted right.
    """
    if len(data) <= 2 * most or data.count(b"[") + data.count(b"{") <= most:
        return 0
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes less leave what is within a string within one, and what is outside outside.
    marks = data.translate(_STEPS, _OTHERS).replace(b'""', b"")
    steps = b"".join(marks.split(b'"')[::2])
    deepest = max(accumulate(memoryview(steps).cast("b")), default=0)
    return deepest if deepest > most else 0
