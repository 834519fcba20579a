"""Replays a worker's whole oplog against the code as it is, and says where the two first differ."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from promissory.executor.residents.hiding import hidden
from promissory.oplog.entries import Entry
from promissory.oplog.errors import NonDeterminismError
from promissory.oplog.ids import OplogIndex, WorkerId
from promissory.workers.component import Component
from promissory.workers.machine.player import Player
from promissory.workers.machine.step import StepFailed


def replay(component: Component, worker_id: WorkerId, entries: Iterable[tuple[OplogIndex, Entry]]) -> Player:
    """Play entries to a fresh player, hidden from trio and asyncio as in the executor; call it from a trio task.

    Args:
      component: the worker's class.
      worker_id: the worker.
      entries: the life's entries in order, from `Created` on, each `Ended` with its outcome in place.

    Returns:
      The player, whose next step is live; close it.

    Raises:
      NonDeterminismError: the code does not do what is recorded; it has the index, the expected and the found.
      OplogError, BadHandler, BadArguments: the record cannot be played.
    """
    player = Player(component, worker_id, step_in=hidden)
    try:
        for index, entry in entries:
            player.feed(index, entry)
        player.end_of_record()
    except BaseException:
        player.close()
        raise
    return player


def rest(player: Player, last: OplogIndex) -> None:
    """Take the steps that are left at the end of the record; a worker at rest has no output to give.

    Raises:
      NonDeterminismError: a step has an output, or raises, where the record has ended.
    """
    while player.ready:
        try:
            step = player.step(last, 0)
        except StepFailed as failure:
            found = str(failure)
        else:
            if not step.outputs:
                continue
            found = type(step.outputs[0]).__name__
        index = OplogIndex(last + 1)
        raise NonDeterminismError(
            f"{player.worker_id} at index {index}: the record ends, the code goes on with {found}",
            worker=str(player.worker_id),
            index=index,
            expected="the end of the record",
            found=found,
        )


def encoded_state(player: Player) -> dict[str, bytes]:
    """Return the JSON of every field of a worker that has one; the others cannot be compared."""
    encoded = {}
    for name, value in player.state().items():
        try:
            encoded[name] = msgspec.json.encode(value, order="deterministic")
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
            continue
    return encoded
