"""Row 5: replaying one invocation of many `run`s as the engine does, beside a bare scan and decode."""

from __future__ import annotations

import os
import time
from pathlib import Path

import trio

from bench import limits
from bench.guests import Stepper
from bench.table import Line, compared
from promissory.executor.commits.record import Record
from promissory.executor.config import Config
from promissory.executor.residents.residents import Residents
from promissory.executor.turns.executor import running, wall_clock_us
from promissory.oplog import entries as e
from promissory.oplog.environment import Environment
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.component import component_of
from promissory.workers.machine.player import Player

ROWS = ("replay",)
RUNS_COUNT = 50_000
_ORDINAL = 1


def prepare(data: Path) -> int:
    """Write the oplog of one worker whose one invocation performs `RUNS_COUNT` side effects; synced at the end only.

    Returns:
      How many entries it has.
    """
    component = component_of(Stepper)
    worker_id = WorkerId(component.id, "long")
    with Environment(data, sync=False) as environment:
        record = Record(environment, wall_clock_us)
        residents = Residents(record, str, 1)
        now = record.now()
        created = e.Created(now, worker_id, component.version, b"[]", {}, None, bytes(32))
        player = Player(component, worker_id)
        player.feed(OplogIndex(1), created)
        with record.unit():
            activation = residents.create(created, None)
        activation.player, activation.is_loaded = player, True
        invoked = e.Invoked(now, "steps_async", b"[%d]" % RUNS_COUNT, "key", None, None, (), None)
        with record.unit():
            residents.deliver(activation, invoked)
        while player.ready:
            with record.unit():
                for entry in player.step(OplogIndex(activation.row.last), record.now()).outputs:
                    residents.append(activation, entry)
                for start in list(player.open_runs):
                    residents.deliver(activation, e.Ended(record.now(), start, e.Value(b"1")))
            while record.sealed:
                environment.commit(record.sealed[0].changes)
                record.committed(record.sealed[0])
        record.seal()
        environment.commit(record.sealed[0].changes)
    os.sync()
    return activation.row.last


async def replay_seconds(data: Path) -> tuple[int, float]:
    """Replay the worker as an executor does that has just started.

    Returns:
      How many entries, and the seconds they took.
    """
    # Unstarted, it has no committer to wait for at its end, and nothing of it must be written.
    async with running(data, Config(stop_grace_seconds=0)) as executor:
        executor.registry.add([Stepper], remember=False)
        activation = executor.residents.get(_ORDINAL)
        assert activation is not None
        start = time.perf_counter()
        while not activation.is_loaded:
            executor.turns.turn(activation)
        took = time.perf_counter() - start
        assert activation.player is not None
        if activation.player.instance is None or activation.row.pending:
            raise RuntimeError("the invocation is not complete")
        return executor.turns.replayed_count, took


def measure(data: Path) -> tuple[float, float]:
    """Replay once and scan once; return the entries a second of each."""
    count, took = trio.run(replay_seconds, data)
    scanned_count, scan_took = limits.scan_seconds(data)
    if count != scanned_count:
        raise RuntimeError(f"replayed {count} entries of {scanned_count}")
    return count / took, scanned_count / scan_took


def lines(pairs: list[tuple[float, float]]) -> list[Line]:
    """Return the line of this row."""
    what = "replay of one invocation of 50 000 runs"
    return [compared("replay", what, "entries/s", "bare scan + cbor2.loads", pairs, bar=0.25, goal=0.5)]
