"""Every form of a delay."""

from __future__ import annotations

import pytest

from promissory.executor.http.door.refusals import Refusal
from promissory.executor.http.families.delays import delay_us

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PT10S", 10 * SECOND),
        ("pt10s", 10 * SECOND),
        ("PT1.5S", 3 * SECOND // 2),
        ("P1DT2H3M4S", (86_400 + 7_200 + 180 + 4) * SECOND),
        ("P2W", 14 * 86_400 * SECOND),
        ("10s", 10 * SECOND),
        ("10000ms", 10 * SECOND),
        ("1h 30m", 5_400 * SECOND),
        ("1h30m", 5_400 * SECOND),
        ("2 days", 2 * 86_400 * SECOND),
        ("250us", 250),
        ("0.5s", SECOND // 2),
        ("10000", 10 * SECOND),
        ("0", 0),
    ],
)
def test_forms(text: str, expected: int) -> None:
    """ISO-8601, units, and bare milliseconds."""
    assert delay_us(text) == expected


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1Y", "-1", "-PT1S", "1x", "s", "1s x", "1.5", "\u0661", "1" * 50, "s1"]
)
def test_other_forms_are_refused(text: str) -> None:
    """What has no known form is 400."""
    with pytest.raises(Refusal) as caught:
        delay_us(text)
    assert caught.value.status == 400
