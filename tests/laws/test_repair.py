"""The law of the derived tables: they are what the oplogs say, so whatever happens to them can be mended."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from promissory.oplog.environment import Environment
from promissory.oplog.repair import repair
from promissory.oplog.tables import Table
from tests.oplog.damage import Damage, damages

Stage = Any
"""The fixture of that name in conftest."""


@given(data=st.data(), done=damages())
@settings(max_examples=15, deadline=None)
def test_any_derived_rows_can_be_had_again(stage: Stage, data: st.DataObject, done: list[Damage]) -> None:
    """Of any record, at any moment of it, damaged derived rows are mended to exactly what they were."""
    scenario = data.draw(stage.scenarios())

    async def damage_a_copy(durable: Any) -> None:
        with tempfile.TemporaryDirectory() as directory:
            durable.executor.environment.backup(Path(directory) / "copy")
            with Environment(Path(directory) / "copy", sync=False) as copy:
                before = {table: list(copy.scan(table)) for table in Table}
                for damage in done:
                    damage(copy)
                repair(copy)
                assert {table: list(copy.scan(table)) for table in Table} == before

    stage.play(scenario, watch=damage_a_copy)
