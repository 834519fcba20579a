"""Pauses between attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promissory.workers.retry import RetryPolicy


def test_pauses_double_up_to_the_greatest() -> None:
    """The default starts at 50 ms and ends at 10 s, ten attempts in all."""
    pauses = [RetryPolicy().delay_seconds(attempt) for attempt in range(1, 11)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, None]


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_jitter_stays_within_its_part(attempt: int, chance: float) -> None:
    """However many attempts there were, and whatever chance says."""
    policy = RetryPolicy(attempts=10**9 + 1, jitter=0.15)
    pause = policy.delay_seconds(attempt, chance)
    middle = policy.delay_seconds(attempt)
    assert pause is not None
    assert middle is not None
    assert middle * 0.85 <= pause * 1.0000001
    assert pause <= middle * 1.1500001


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"first_seconds": 0}, {"max_seconds": -1}, {"factor": 0}, {"jitter": 2}, {"jitter": -1}]
)
def test_policies_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    """At the place where they are made."""
    with pytest.raises(ValueError, match="must be"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]
