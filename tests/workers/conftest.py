"""A host without I/O: it plays a worker's live run into a list of entries, and that list to other players."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from promissory.oplog.entries import (
    Abandoned,
    Cancelled,
    Completed,
    Created,
    CreatePromise,
    Ended,
    Entry,
    Failure,
    Invoked,
    Role,
    Started,
    Value,
)
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.component import component_of
from promissory.workers.definition import Worker
from promissory.workers.machine.player import Player
from promissory.workers.machine.step import Step

SEED = bytes(range(32))


class Host:
    """One worker; its oplog is `record`, whose entry at index i is `record[i - 1]`."""

    def __init__(self, cls: type[Worker], *args: Any, step_in: Any = None, env: dict[str, str] | None = None) -> None:
        self.component = component_of(cls)
        self.worker_id = WorkerId(self.component.id, "test")
        self.record: list[Entry] = []
        self.units: list[int] = []
        self.logs: list[tuple[str, str]] = []
        self.cancels: list[int] = []
        self.clock = 1_000_000
        self.player = Player(self.component, self.worker_id, step_in=step_in)
        self.put(Created(self.tick(), self.worker_id, 1, msgspec.json.encode(args), env or {}, None, SEED))

    def tick(self) -> int:
        self.clock += 1_000
        return self.clock

    def put(self, entry: Entry) -> OplogIndex:
        """Append an entry from outside, as a unit of its own."""
        self.record.append(entry)
        index = OplogIndex(len(self.record))
        self.units.append(index)
        self.player.feed(index, entry)
        return index

    def queue(self, function: str, *args: Any, key: str | None = "key", due: int | None = None) -> OplogIndex:
        return self.put(Invoked(self.tick(), function, msgspec.json.encode(args), key, None, None, (), due))

    def invoke(self, function: str, *args: Any) -> OplogIndex:
        index = self.queue(function, *args)
        self.settle()
        return index

    def step(self) -> Step:
        step = self.player.step(OplogIndex(len(self.record)), self.clock)
        self.record += step.outputs
        if step.outputs:
            self.units.append(len(self.record))
        self.logs += step.logs
        self.cancels += step.cancels
        self.check_waited()
        return step

    def check_waited(self) -> None:
        """What is remembered of what is waited for must be what is found when it is looked for."""
        waited = self.player.waited_calls
        machine = self.player._machine
        assert machine is not None
        machine.waited = None
        assert self.player.waited_calls == waited

    def settle(self) -> None:
        """Take every step there is to take."""
        while self.player.ready:
            self.step()

    def end(self, start: int, data: bytes = b"null") -> None:
        self.put(Ended(self.tick(), OplogIndex(start), Value(data)))
        self.settle()

    def fail(self, start: int, kind: str = "terminal", message: str = "failed", code: int = 500) -> None:
        self.put(Ended(self.tick(), OplogIndex(start), Failure(kind, message, code)))
        self.settle()

    def cancel(self, invocation: int, failing: int | None = None) -> None:
        self.put(Cancelled(self.tick(), OplogIndex(invocation), None if failing is None else OplogIndex(failing)))
        self.settle()

    def open_calls(self) -> list[int]:
        """Return the starts, promises aside, that have neither an `Ended` nor an `Abandoned`."""
        closed = {entry.start for entry in self.record if isinstance(entry, (Ended, Abandoned))}
        return [
            i
            for i, entry in enumerate(self.record, 1)
            if isinstance(entry, Started) and not isinstance(entry.request, CreatePromise) and i not in closed
        ]

    def calls(self) -> list[Any]:
        """Return the requests of all host calls so far."""
        return [entry.request for entry in self.record if isinstance(entry, Started)]

    def abandoned(self) -> list[int]:
        return [entry.start for entry in self.record if isinstance(entry, Abandoned)]

    def outcome(self, invocation: int) -> Any:
        """Return an invocation's result, or its `Failure`; None while there is neither."""
        for entry in self.record:
            if isinstance(entry, Completed) and entry.invocation == invocation:
                if isinstance(entry.outcome, Failure):
                    return entry.outcome
                assert entry.outcome.data is not None
                return msgspec.json.decode(entry.outcome.data)
        return None

    def outputs(self) -> list[Entry]:
        return [entry for entry in self.record if entry.role is Role.OUTPUT]

    def replay(self, record: list[Entry] | None = None) -> Player:
        """Play a record (this one) to a new player, up to its end."""
        player = Player(self.component, self.worker_id)
        for index, entry in enumerate(self.record if record is None else record, 1):
            player.feed(OplogIndex(index), entry)
        player.end_of_record()
        return player

    def waited_calls(self, player: Player) -> Any:
        """Return what a replayed player waits for, once it has taken the steps that left no outputs."""
        self.rest(player)
        return player.waited_calls

    def rest(self, player: Player) -> None:
        """Have a replayed player take the steps that are left at the end of the record: live, they had no outputs."""
        while player.ready:
            assert player.step(OplogIndex(len(self.record)), self.clock).outputs == []

    def assert_replays(self) -> None:
        """Replay must give the same state, the same open effects and waits, and leave the same steps to take."""
        again = self.replay()
        assert again.state() == self.player.state()
        assert list(again.open_runs) == list(self.player.open_runs)
        assert again.open_asks == self.player.open_asks
        if not self.player.ready:
            assert self.waited_calls(again) == self.player.waited_calls
        assert again.running == self.player.running
        again.close()


@pytest.fixture
def host() -> Any:
    """Make hosts; when the test ends, each of their records replays, unless its player died."""
    made: list[Host] = []

    def make(cls: type[Worker], *args: Any, **kwargs: Any) -> Host:
        made.append(Host(cls, *args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        if not each.player._dead:
            each.assert_replays()
            each.player.close()


@pytest.fixture
def make_host() -> Callable[..., Host]:
    """Make hosts, of which nothing is asserted."""
    return Host
