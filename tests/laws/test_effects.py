"""The laws of effects: without a crash none is performed twice, whatever else goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promissory.executor.config import Config
from tests.laws.callers import COUNTED

CROWDED = Config(workers_in_memory_max=1, idle_seconds=0.1)
"""Every worker leaves memory as soon as it may."""


def once(performed: Any) -> bool:
    return all(count == 1 for count in performed.values())


@settings(max_examples=settings.default.max_examples // 2, deadline=None)
@given(st.data())
def test_evictions_change_nothing(stage: Any, data: st.DataObject) -> None:
    """With room for one worker in memory, results are the same and every effect is performed once."""
    scenario = data.draw(stage.scenarios(6))
    calm = stage.play(scenario)
    assert once(calm.performed)

    crowded = stage.play(scenario, config=CROWDED)

    assert (crowded.results, crowded.traces) == (calm.results, calm.traces)
    assert crowded.performed == calm.performed


@settings(max_examples=settings.default.max_examples // 2, deadline=None)
@given(st.data())
def test_failed_commits_perform_nothing_twice(stage: Any, data: st.DataObject) -> None:
    """Whichever commits fail, also many in a row, results are the same and every effect is performed once."""
    scenario = data.draw(stage.scenarios())
    calm = stage.play(scenario)
    fail_at = data.draw(st.sets(stage.commits, min_size=1, max_size=8))
    config = data.draw(st.sampled_from([Config(), CROWDED]))

    failed = stage.play(scenario, fail_at=fail_at, config=config)

    assert (failed.results, failed.traces) == (calm.results, calm.traces)
    assert once(failed.performed)


@pytest.mark.parametrize("in_a_row", [1, 2])
@pytest.mark.parametrize("calls", [False, True], ids=["alone", "calling"])
def test_every_commit_may_fail(stage: Any, calls: bool, in_a_row: int) -> None:
    """A full disk at any one commit of the whole corpus costs no result and performs nothing twice."""
    scenario = tuple(stage.action("a", shape) for shape in stage.shapes if (shape in COUNTED) is calls)
    calm = stage.play(scenario)

    for n in range(1, calm.commits_count + 1):
        failed = stage.play(scenario, fail_at=set(range(n, n + in_a_row)))

        assert (failed.results, failed.traces) == (calm.results, calm.traces), f"commit {n} failed"
        assert once(failed.performed), f"commit {n} failed"


@settings(max_examples=settings.default.max_examples // 2, deadline=None)
@given(st.data())
def test_with_crashes_and_failures_what_has_ended_is_not_performed_again(stage: Any, data: st.DataObject) -> None:
    """An effect whose `Ended` is durable is never performed again, after any mix of crashes, failures, evictions."""
    scenario = data.draw(stage.scenarios())
    calm = stage.play(scenario)
    crash_at = data.draw(st.sets(stage.commits, max_size=3))
    fail_at = data.draw(st.sets(stage.commits, max_size=3)) - crash_at

    stormy = stage.play(
        scenario, crash_at=crash_at, with_last=data.draw(st.booleans()), fail_at=fail_at, config=CROWDED
    )

    assert (stormy.results, stormy.traces) == (calm.results, calm.traces)
    assert stormy.performed_again == set()
