"""How long things take, as histograms: plain numbers, which the operation `metrics` hands out."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)
"""The upper bounds of the buckets, in seconds; one more holds what is beyond."""


class Histogram:
    """How long things took."""

    __slots__ = ("counts", "sum_seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(SECONDS) + 1)
        self.sum_seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Account for one."""
        self.counts[bisect_left(SECONDS, seconds)] += 1
        self.sum_seconds += seconds

    def as_map(self) -> dict[str, Any]:
        """Return `{"buckets": [[bound, count], …], "sum", "count"}`: each count includes those of lower bounds."""
        total, buckets = 0, []
        for bound, count in zip(SECONDS, self.counts, strict=False):
            total += count
            buckets.append([bound, total])
        return {"buckets": buckets, "sum": self.sum_seconds, "count": total + self.counts[-1]}


class Latencies:
    """The histograms of an executor."""

    __slots__ = ("commit", "invocation", "replay")

    def __init__(self) -> None:
        self.commit = Histogram()
        """From handing a batch to the disk until it is durable."""
        self.invocation = Histogram()
        """From an invocation's `Invoked` to its `Completed`, waits included."""
        self.replay = Histogram()
        """From the first entry read until the worker had caught up."""

    def as_map(self) -> dict[str, Any]:
        """Return the histograms by name."""
        return {f"{name}_seconds": getattr(self, name).as_map() for name in self.__slots__}


class Counters:
    """How often things happened since the start that no part of the executor counts itself."""

    def __init__(self) -> None:
        self.invocations_accepted = 0
        """Invocations taken from clients."""
