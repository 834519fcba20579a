"""The law of damage: one damaged entry stops its worker, and nobody who does not need that worker."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from promissory.executor.client.link import Disconnected
from promissory.executor.testing.testbed import Testbed
from promissory.oplog import entries as e
from promissory.oplog.check import check
from promissory.oplog.codec import decode_entry
from promissory.oplog.environment import Environment
from promissory.oplog.errors import OplogCorrupt, PromissoryError
from promissory.oplog.tables import U64, Table, WorkerRow, oplog_key
from tests.laws.callers import CALLED_OFF
from tests.laws.conftest import CLASSES
from tests.laws.corpus import ALONE, SHAPES
from tests.laws.effects import attempted, performed

PLAYED = [shape for shape in SHAPES if shape not in (CALLED_OFF, "crossing")]
"""Those that need no client beside them."""


@attrs.frozen
class Ended:
    """How one run ended: per worker what was answered, and what `verify` found."""

    answers: dict[str, tuple[Any, ...]]
    statuses: dict[str, str]
    findings: list[tuple[str, str | None, int | None]]
    needs: dict[str, set[str]]
    """Which workers' entries name which others, in either direction."""


def rows_of(environment: Environment) -> list[WorkerRow]:
    rows = [WorkerRow.decode(U64.unpack(key)[0], row) for key, row in environment.scan(Table.WORKERS)]
    return [row for row in rows if row.life]


def named_in(entry: e.Entry) -> set[Any]:
    """Return the workers that an entry is about, beside its own."""
    found = {getattr(entry, "caller", None), getattr(entry, "parent", None)}
    if isinstance(entry, e.Started):
        found |= {getattr(entry.request, "worker", None), getattr(entry.request, "owner", None)}
        if isinstance(entry.request, e.NamedPromise):
            found.add(f"name {entry.request.name}")
    if isinstance(entry, e.Created):
        found.add(f"name {entry.worker_id.worker_name}")
    return found - {None}


def needs_of(environment: Environment) -> dict[str, set[str]]:
    """Return who is connected with whom by entries that name the other, directly or by way of others."""
    groups: list[set[Any]] = []
    for row in rows_of(environment):
        group: set[Any] = {row.worker_id}
        for index in range(row.life, row.last + 1):
            key = oplog_key(row.ordinal, index)
            raw = environment.get(Table.OPLOG, key)
            try:
                group |= named_in(decode_entry(key, raw or b""))
            except OplogCorrupt:
                continue
        apart = []
        for other in groups:
            if other & group:
                group |= other
            else:
                apart.append(other)
        groups = [*apart, group]
    return {str(one): {str(other) for other in group} for group in groups for one in group}


def damage(data: Path, which: int, place: int) -> str:
    """Flip a bit of an entry and return its worker."""
    with Environment(data) as environment:
        rows = rows_of(environment)
        row = rows[which % len(rows)]
        index = row.life + place % (row.last - row.life + 1)
        key = oplog_key(row.ordinal, index)
        raw = environment.get(Table.OPLOG, key)
        assert raw is not None
        environment.commit({Table.OPLOG: {key: raw[:-1] + bytes([raw[-1] ^ 1])}})
        return str(row.worker_id)


def play(shapes: list[str], seconds: float, hurt: tuple[int, int] | None) -> tuple[str | None, Ended]:
    """Play shapes, each on a worker of its own, with a restart in between, and damage an entry while it is down."""
    performed.clear()
    attempted.clear()

    async def main() -> tuple[str | None, Ended]:
        with tempfile.TemporaryDirectory() as directory:
            async with Testbed.opened(Path(directory)) as durable:
                durable.is_replayed_at_end = durable.is_checked_at_end = False
                return await _play(durable, shapes, seconds, hurt)

    return trio.run(main, clock=MockClock(autojump_threshold=0))


async def _play(durable: Any, shapes: list[str], seconds: float, hurt: tuple[int, int] | None) -> Any:
    durable.register(*CLASSES)
    sent = {}
    for n, shape in enumerate(shapes):
        path = f"subject/{n}{'-alone' if shape in ALONE else ''}"
        sent[path] = await durable.send(path, shape, f"t{n}", key=f"k{n}")
    await trio.sleep(seconds)
    await durable.stop()
    damaged = None if hurt is None else damage(durable.data, *hurt)
    await durable.start()
    for _ in range(3):
        for promise in await durable.promises():
            if "-alone/" not in promise:
                try:
                    await durable.complete_promise(promise, b"yes")
                except OplogCorrupt:
                    assert hurt is not None
        await trio.sleep(300)
    answers = {}
    for path, invocation in sent.items():
        answers[path] = (await answer(durable.attach(invocation)), await answer(durable.query(path, "traced")))
    statuses = {path: (await durable.show(path))["status"] for path in await durable.workers()}
    assert await durable.invoke("subject/last", "plain", "t") == "t 0"
    await durable.stop()
    with Environment(durable.data, readonly=True) as environment:
        findings = [(found.kind, found.worker, found.index) for found in check(environment)]
        ended = Ended(answers, statuses, findings, needs_of(environment))
        ids = {row.worker_id.worker_name: str(row.worker_id) for row in rows_of(environment)}
    await durable.start()
    return damaged, attrs.evolve(ended, answers={ids[path.partition("/")[2]]: got for path, got in answers.items()})


async def answer(waiting: Any) -> Any:
    """Return what came of it, in the time that everything else needs."""
    try:
        with trio.fail_after(600):
            return repr(await waiting)
    except trio.TooSlowError:
        return "none"
    except Disconnected:
        raise
    except PromissoryError as error:
        return f"{type(error).__name__} {error}"


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.sampled_from(PLAYED), min_size=2, max_size=4),
    seconds=st.sampled_from([0.0, 0.25, 1.5, 40.0, 400.0]),
    which=st.integers(0, 20),
    place=st.integers(0, 40),
)
def test_a_damaged_entry_concerns_nobody_else(shapes: list[str], seconds: float, which: int, place: int) -> None:
    """Every worker that has nothing to do with the damaged one ends as without the damage; `verify` names it alone."""
    _, whole = play(shapes, seconds, None)
    damaged, hurt = play(shapes, seconds, (which, place))

    assert damaged is not None
    concerned = whole.needs[damaged] | hurt.needs.get(damaged, set()) | {damaged}
    apart = {worker for worker in whole.answers if worker not in concerned}
    assert {worker: hurt.answers[worker] for worker in apart} == {worker: whole.answers[worker] for worker in apart}
    assert whole.findings == []
    assert {(kind, worker) for kind, worker, _ in hurt.findings} == {("record", damaged)}
