"""The bench itself, on little work: a figure that cannot be taken any more is found here, not when it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import replay, residents, throughput
from bench.table import Line


def assert_measured(lines: list[Line]) -> None:
    assert lines
    assert all(line.judged > 0 for line in lines)


def test_what_comes_over_the_socket_can_be_measured(tmp_path: Path) -> None:
    """The first row runs a daemon, a client and the limits, and counts what they did."""
    run = throughput.measure(0, ["throughput"], tmp_path)
    assert run.windows["invoke"].count > 0
    assert run.commits_count > 0
    assert_measured(throughput.lines(["throughput", "latency"], [run]))


def test_replay_can_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replay of one long invocation runs to its end, over as many entries as the scan beside it."""
    monkeypatch.setattr(replay, "RUNS_COUNT", 500)
    assert replay.prepare(tmp_path) > 1_000
    assert_measured(replay.lines([replay.measure(tmp_path)]))


def test_suspended_workers_can_be_measured(tmp_path: Path) -> None:
    """Workers are suspended, the daemon is started again, and some of them are completed."""
    prepared = residents.prepare(tmp_path / "data", residents.COMPLETIONS)
    assert_measured(residents.lines(prepared, [residents.restart(tmp_path / "data", 0)]))
