"""Damage to derived rows, drawn by Hypothesis: rows lost, with a bit changed in key or row, or added."""

from __future__ import annotations

import attrs
from hypothesis import strategies as st

from promissory.oplog.environment import Environment
from promissory.oplog.tables import DERIVED, Table


@attrs.frozen
class Damage:
    """One thing that happens to one row of a derived table."""

    table: Table
    place: int
    """Which row, counted from the first, modulo how many there are."""
    bit: int | None
    """The bit that changes, of the key and the row; None: the row is lost."""
    more: bytes | None
    """A key to add instead."""

    def __call__(self, environment: Environment) -> None:
        """Do it."""
        if self.more is not None:
            environment.commit({self.table: {self.more: self.more[:8]}})
            return
        rows = list(environment.scan(self.table))
        if not rows:
            return
        key, row = rows[self.place % len(rows)]
        if self.bit is None:
            environment.commit({self.table: {key: None}})
            return
        whole = bytearray(key + row)
        bit = self.bit % (8 * len(whole))
        whole[bit // 8] ^= 1 << bit % 8
        changed = bytes(whole)
        environment.commit({self.table: {key: None}})
        environment.commit({self.table: {changed[: len(key)]: changed[len(key) :]}})


def damages(times_max: int = 8) -> st.SearchStrategy[list[Damage]]:
    """Return a strategy for damage that happens one after another."""
    damage = st.builds(
        Damage,
        st.sampled_from(DERIVED),
        st.integers(0, 63),
        st.none() | st.integers(0, 2_000),
        st.none() | st.none() | st.none() | st.binary(min_size=1, max_size=40),
    )
    return st.lists(damage, min_size=1, max_size=times_max)
