"""The law of crashes: wherever the executor stops, a restart ends in the same results."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promissory.executor.config import Config
from tests.laws.callers import COUNTED
from tests.laws.corpus import SHAPES

UNIT_BY_UNIT = Config(batch_entries_max=1, retention_seconds=200)
"""Every unit in a commit of its own, where a hand-over between workers shares one otherwise; ephemeral workers go."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_last", [True, False], ids=["committed", "lost"])
def test_a_crash_at_every_commit_ends_in_the_same_results(stage: Any, shape: str, with_last: bool) -> None:
    """Whichever commit the executor crashes at, with or without that batch, the results and states are the same."""
    scenario = (stage.action("a", shape), stage.action("a", "plain"))
    calm = stage.play(scenario)

    for n in range(1, calm.commits_count + 1):
        crashed = stage.play(scenario, crash_at={n}, with_last=with_last)

        assert (crashed.results, crashed.traces) == (calm.results, calm.traces), f"crashed at commit {n}"
        assert crashed.performed_again == set(), f"crashed at commit {n}"


@pytest.mark.parametrize("shape", COUNTED)
def test_a_crash_after_every_unit_ends_in_the_same_results(stage: Any, shape: str) -> None:
    """Also between a call's start, its callee's steps and its end there is no moment at which a call is lost."""
    scenario = (stage.action("a", shape), stage.action("b", shape), stage.action("a", "plain"))
    calm = stage.play(scenario, config=UNIT_BY_UNIT)
    assert calm.commits_count > stage.play(scenario).commits_count

    for n in range(1, calm.commits_count + 1):
        crashed = stage.play(scenario, crash_at={n}, config=UNIT_BY_UNIT)

        assert (crashed.results, crashed.traces) == (calm.results, calm.traces), f"crashed at commit {n}"
        assert crashed.performed_again == set(), f"crashed at commit {n}"


@settings(max_examples=settings.default.max_examples // 2, deadline=None)
@given(st.data())
def test_crashes_anywhere_end_in_the_same_results(stage: Any, data: st.DataObject) -> None:
    """Several crashes within one scenario of several workers change no result."""
    scenario = data.draw(stage.scenarios())
    calm = stage.play(scenario)
    crash_at = data.draw(st.sets(stage.commits, min_size=1, max_size=4))

    crashed = stage.play(scenario, crash_at=crash_at, with_last=data.draw(st.booleans()))

    assert (crashed.results, crashed.traces) == (calm.results, calm.traces)
    assert crashed.performed_again == set()


def test_a_worker_woken_at_the_end_of_a_careful_start_is_not_forgotten(stage: Any) -> None:
    """Whoever is woken while recovery, one at a time after unclean ends, comes to its end still gets its turn."""
    shapes = (("b", "promise", 1.5), ("b", "hasty", 0.0), ("a", "promise", 0.0), ("a", "plain", 1.5))
    scenario = tuple(stage.action(*shape) for shape in shapes)
    calm = stage.play(scenario)

    for n in range(3, 40):
        crashed = stage.play(scenario, crash_at={1, 2, n}, with_last=False)

        assert (crashed.results, crashed.traces) == (calm.results, calm.traces)
