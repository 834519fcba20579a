"""The laws of replay: an oplog gives the same state and outputs again, and so do the prefixes that end with a unit."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from promissory.oplog.entries import Role


@settings(max_examples=settings.default.max_examples // 2, deadline=None)
@given(st.data())
def test_replay_of_a_live_oplog_gives_the_same_state_and_outputs(stage: Any, data: st.DataObject) -> None:
    """At any moment of a scenario, replaying a worker's oplog gives the outputs recorded and the state in memory."""
    scenario = data.draw(stage.scenarios())
    moments = 0

    async def watch(durable: Any) -> None:
        nonlocal moments
        moments += 1
        await durable.quiet()
        await durable.assert_all_replay()

    stage.play(scenario, watch=watch)

    assert moments > len(scenario)


@settings(max_examples=settings.default.max_examples // 2, deadline=None)
@given(st.data())
def test_replay_of_a_prefix_is_a_prefix(stage: Any, data: st.DataObject) -> None:
    """An oplog cut after any unit replays; what follows continues it to the same state as if it was never cut."""
    scenario = data.draw(stage.scenarios())
    ends: dict[int, list[tuple[int, Any]]] = {}
    oplogs: dict[int, list[tuple[Any, Any]]] = {}

    async def watch(durable: Any) -> None:
        await durable.quiet()
        note_unit_ends(durable, ends, stage)
        oplogs.update(stage.entries(durable))

    stage.play(scenario, watch=watch)

    for ordinal, entries in oplogs.items():
        whole = stage.replay(entries)
        for last, state in ends.get(ordinal, ()):
            if last > len(entries):
                continue
            prefix = stage.replay(entries[:last])
            if state is not None and entries[last - 1][1].role is Role.OUTPUT:
                assert stage.encoded_state(prefix) == state, f"cut after {last}"
            for index, entry in entries[last:]:
                prefix.feed(index, entry)
            prefix.end_of_record()
            assert stage.encoded_state(prefix) == stage.encoded_state(whole), f"cut after {last}"


def note_unit_ends(durable: Any, ends: dict[int, list[tuple[int, Any]]], stage: Any) -> None:
    """Have the executor note, from now on, where each worker's units end and the state it then had in memory."""
    residents = durable.executor.residents
    if hasattr(residents, "appended"):
        return
    residents.appended = {}
    record = durable.executor.record
    append, keep = residents.append, record.keep

    def noting_append(activation: Any, entry: Any, known: Any = None) -> Any:
        residents.appended[activation.ordinal] = activation
        return append(activation, entry, known)

    def noting_keep(unit: Any) -> None:
        keep(unit)
        for activation in residents.appended.values():
            state = stage.encoded_state(activation.player) if activation.is_loaded else None
            ends.setdefault(activation.ordinal, []).append((activation.row.last, state))
        residents.appended.clear()

    residents.append, record.keep = noting_append, noting_keep
