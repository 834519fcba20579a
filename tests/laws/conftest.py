"""What the laws are tested on: a corpus of worker shapes, scenarios made of them, and a stage that plays scenarios.

A scenario may be played again from its start at any time: its invocations have keys and its promises are settled once.
So what a client does after a crash is to do everything again, and the results must be the same.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import strategies as st
from trio.testing import MockClock

from promissory.executor.client import Disconnected
from promissory.executor.config import Config
from promissory.executor.residents.replaying import encoded_state
from promissory.executor.testing.testbed import Crashed, Testbed
from promissory.oplog import entries as e
from promissory.oplog.environment import Environment
from promissory.oplog.errors import StoreFailed, TerminalError
from promissory.oplog.tables import U64, Table
from promissory.workers.component import component_of
from promissory.workers.machine.player import Player
from tests.laws.callers import CALLED_OFF, Callee, Passing, effects_of_calls
from tests.laws.corpus import ALONE, SHAPES, Subject
from tests.laws.effects import attempted, performed


@attrs.frozen
class Action:
    """One invocation and what the client does after sending it."""

    worker: str
    shape: str
    seconds: float = 0.0

    @property
    def path(self) -> str:
        return f"subject/{self.worker}{'-alone' if self.shape in ALONE else ''}"


Scenario = tuple[Action, ...]
CLASSES = (Subject, Callee, Passing)
COMPONENTS = {component.id: component for component in map(component_of, CLASSES)}


@attrs.define
class Outcome:
    """What playing a scenario came to."""

    results: list[str]
    traces: dict[str, list[str]]
    performed: Counter[str]
    commits_count: int
    performed_again: set[str]
    """Effects that were performed after their `Ended` was durable."""


class Store:
    """A commit seam that counts, crashes at some commits and fails at others."""

    def __init__(self, crash_at: set[int], with_last: bool, fail_at: set[int]) -> None:
        self.commits_count = 0
        self._crash_at = crash_at
        self._with_last = with_last
        self._fail_at = fail_at

    def seam(self, environment: Environment) -> Any:
        def commit(changes: Any, written: Callable[[], None] | None = None) -> None:
            self.commits_count += 1
            number = self.commits_count
            if number in self._fail_at:
                raise StoreFailed("no space left on device")
            if number not in self._crash_at:
                environment.commit(changes, written)
                return
            if self._with_last:
                environment.commit(changes, written)
            raise Crashed("a crash to order")

        return commit


class Stage:
    """Plays scenarios, each on a fresh directory, under the autojump clock."""

    shapes = SHAPES
    action = Action

    commits = st.integers(1, 40)
    """The numbers of commits; a scenario's are not counted, since they are not always the same."""

    def scenarios(self, actions_max: int = 4) -> st.SearchStrategy[Scenario]:
        """Scenarios of a few actions on two workers, some of them queued behind each other."""
        seconds = st.sampled_from([0.0, 0.0, 0.25, 1.5, 40.0])
        action = st.builds(Action, st.sampled_from("ab"), st.sampled_from(SHAPES), seconds)
        return st.lists(action, min_size=1, max_size=actions_max).map(tuple)

    def play(
        self,
        scenario: Scenario,
        *,
        crash_at: set[int] | None = None,
        with_last: bool = True,
        fail_at: set[int] | None = None,
        config: Config | None = None,
        watch: Callable[[Any], Awaitable[None]] | None = None,
    ) -> Outcome:
        """Play a scenario to its end; every worker is replayed and the record checked at the end.

        Args:
          scenario: what clients do.
          crash_at: the numbers of the commits at which the executor crashes.
          with_last: whether the batch of that commit is durable.
          fail_at: the numbers of the commits that fail.
          config: limits of the executor.
          watch: awaited after each action, with the `Testbed`.
        """
        performed.clear()
        attempted.clear()
        store = Store(crash_at or set(), with_last, fail_at or set())

        async def main() -> Outcome:
            with tempfile.TemporaryDirectory() as directory:
                async with Testbed.opened(Path(directory), config=config, seam=store.seam) as durable:
                    return await _play(durable, scenario, store, watch)

        return trio.run(main, clock=MockClock(autojump_threshold=0))

    def entries(self, durable: Any) -> dict[int, list[tuple[Any, Any]]]:
        """Return the durable entries of every worker, `Ended`s with their outcome in place."""
        record = durable.executor.record
        found = {}
        for key, _ in durable.executor.environment.scan(Table.WORKERS):
            ordinal = U64.unpack(key)[0]
            row = record.worker_row(ordinal)
            if row is None:  # ephemeral, and gone with what is not durable yet
                continue
            found[ordinal] = list(enumerate(record.entries(ordinal, row.life, row.last), row.life))
        return found

    def replay(self, entries: list[tuple[Any, Any]]) -> Any:
        """Replay the entries of one worker."""
        worker_id = entries[0][1].worker_id
        player = Player(COMPONENTS[worker_id.component_id], worker_id)
        for index, entry in entries:
            player.feed(index, entry)
        player.end_of_record()
        return player

    encoded_state = staticmethod(encoded_state)


async def _play(durable: Any, scenario: Scenario, store: Store, watch: Any) -> Outcome:
    ended: Counter[str] = Counter()
    ends = 0
    durable.register(*CLASSES)
    while True:
        try:
            results, traces = await _attempt(durable, scenario, watch, ends)
            await _assert_calls_took_effect_once(durable, scenario)
            break
        except Disconnected:
            ends += 1
            await durable.crash()
            durable.check()
            await durable.start()
            # Before anything can be performed in this life.
            for tag in _durably_ended(durable):
                ended.setdefault(tag, performed[tag])
        except StoreFailed:
            await trio.sleep(60)
    again = {tag for tag, count in ended.items() if performed[tag] != count}
    return Outcome(results, traces, performed.copy(), store.commits_count, again)


async def _assert_calls_took_effect_once(durable: Any, scenario: Scenario) -> None:
    """Every call of a worker took effect exactly once, whatever happened to caller, callee and executor."""
    counted: Counter[str] = Counter()
    for worker in await durable.workers():
        if worker.startswith("callee/"):
            counted.update(await durable.query(worker, "counted"))
    called_off = tuple(f"t{n}." for n, action in enumerate(scenario) if action.shape == CALLED_OFF)
    by_chance = {tag for tag in counted if called_off and tag.startswith(called_off)}
    assert not {tag: counted[tag] for tag in by_chance if counted[tag] != 1}
    tags = {f"t{n}": action.shape for n, action in enumerate(scenario)}
    assert Counter({tag: n for tag, n in counted.items() if tag not in by_chance}) == effects_of_calls(tags)


def _durably_ended(durable: Any) -> set[str]:
    tags = set()
    environment = durable.executor.environment
    for key, _ in environment.scan(Table.WORKERS):
        ordinal = U64.unpack(key)[0]
        row = durable.executor.record.worker_row(ordinal)
        if row is None:  # ephemeral, and gone with what is not durable yet
            continue
        names = {}
        for index, entry in enumerate(durable.executor.record.entries(ordinal, row.life, row.last), row.life):
            if type(entry) is e.Started and type(entry.request) is e.Run:
                names[index] = entry.request.name
            elif type(entry) is e.Ended and entry.start in names:
                tags.add(names[entry.start])
    return tags


async def _attempt(durable: Any, scenario: Scenario, watch: Any, ends: int) -> tuple[list[str], dict[str, list[str]]]:
    """Do what the scenario's clients do, from the start."""
    sent = []
    for n, action in enumerate(scenario):
        args = [f"t{n}"]
        if action.shape == "crossing":
            args.append(await durable.invoke("subject/hub-alone", "open_promise", key=f"k{n}"))
        sent.append(await durable.send(action.path, action.shape, *args, key=f"k{n}"))
        if action.seconds:
            await trio.sleep(action.seconds)
        if action.shape == CALLED_OFF:
            await durable.cancel(sent[-1])
        if watch is not None:
            await watch(durable)
    for _ in range(len(scenario) + 2):
        for promise in await durable.promises():
            if "-alone/" not in promise:
                await durable.complete_promise(promise, b"yes")
        await trio.sleep(300)
        if ends > 2:
            # The worker that was being activated at the third end in a row is paused, whoever's fault that was.
            await durable.request("worker.resume", all=True)
        if watch is not None:
            await watch(durable)
    results = []
    for invocation in sent:
        try:
            results.append(repr(await durable.attach(invocation)))
        except TerminalError as error:
            results.append(f"{type(error).__name__} {error.code} {error}")
    traces = {path: await durable.query(path, "traced") for path in sorted({a.path for a in scenario})}
    return results, traces


@pytest.fixture(scope="session")
def stage() -> Stage:
    return Stage()
