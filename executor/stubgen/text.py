"""Python text, laid out as ruff's formatter leaves it at any line length from 110 on.

What does not fit in 88 characters is broken up, each part with a comma after it, which the formatter keeps.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence

LINE_CHARACTERS_MAX = 88


def quoted(text: str) -> str:
    """Return a string literal, in double quotes unless single ones save escapes."""
    written = repr(text)
    if written[0] == '"' or text.count('"') > text.count("'"):
        return written
    inner = written[1:-1].replace("\\'", "'").replace('"', '\\"')
    return f'"{inner}"'


def bracketed(before: str, parts: Sequence[str], after: str, indent: str = "") -> list[str]:
    """Return parts between brackets: on one line if they fit, else each on its own, with a comma after the last.

    Args:
      before: what the line begins with, up to the opening bracket.
      parts: what stands between the brackets.
      after: what the line ends with, from the closing bracket on.
      indent: what every line begins with.
    """
    line = f"{indent}{before}{', '.join(parts)}{after}"
    if len(line) <= LINE_CHARACTERS_MAX or not parts:
        return [line]
    return exploded(before, parts, after, indent)


def exploded(before: str, parts: Sequence[str], after: str, indent: str = "") -> list[str]:
    """Return parts between brackets, each on its own line."""
    return [f"{indent}{before}", *(f"{indent}    {part}," for part in parts), f"{indent}{after}"]


def docstring(text: object, indent: str = "") -> list[str]:
    """Return the lines of a docstring; there are none if the text is none or empty.

    Writing what was read of such a docstring gives the same lines.
    """
    if not isinstance(text, str):
        return []
    shown = "".join(c if c == "\n" or c.isprintable() else " " for c in text.expandtabs())
    lines = [line.rstrip() for line in inspect.cleandoc(shown).split("\n")]
    said = "\n".join(lines).strip().replace("\\", "\\\\").replace('"""', "'''")
    if not said:
        return []
    # A quote next to the quotes that hold it would be one of them.
    before, after = (" " if said[at] == '"' else "" for at in (0, -1))
    first, *rest = f"{before}{said}{after}".split("\n")
    if not rest:
        return [f'{indent}"""{first}"""']
    return [f'{indent}"""{first}', *(f"{indent}{line}" if line else "" for line in rest), f'{indent}"""']
