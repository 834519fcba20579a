"""How often and when a side effect is tried again."""

from __future__ import annotations

from typing import Any

import attrs


def _positive(instance: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ValueError(f"RetryPolicy: {attribute.name} must be more than 0, not {value!r}")


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """Attempts with growing pauses between them; after the last the outcome is a `TerminalError`.

    The pause after attempt *n* is `first_seconds * factor ** (n - 1)`, at most `max_seconds`, give or take the part
    `jitter` of it.
    """

    attempts: int = attrs.field(default=10, validator=_positive)
    """How often the effect is tried in all; 1 never tries again."""
    first_seconds: float = attrs.field(default=0.05, validator=_positive)
    max_seconds: float = attrs.field(default=10.0, validator=_positive)
    factor: float = attrs.field(default=2.0, validator=_positive)
    jitter: float = attrs.field(default=0.15, validator=[attrs.validators.ge(0), attrs.validators.le(1)])

    def delay_seconds(self, attempt: int, chance: float = 0.5) -> float | None:
        """Return the pause after the given attempt has failed, None when it was the last.

        Args:
          attempt: the one that failed, counted from 1.
          chance: between 0 and 1, picks the place within the jitter; 0.5 is the middle.
        """
        if attempt >= self.attempts:
            return None
        try:
            pause = min(self.first_seconds * self.factor ** (attempt - 1), self.max_seconds)
        except OverflowError:
            pause = self.max_seconds
        return pause * (1 + self.jitter * (2 * chance - 1))
