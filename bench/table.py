"""The figures, judged against their bars and printed as one table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table: medians over the runs."""

    row: str
    what: str
    unit: str
    ours: float
    beside: str = ""
    """What the limit is."""
    limit: float | None = None
    ratio: float | None = None
    """Ours to the limit, the median of each run's own ratio; None where ours itself is judged."""
    bar: float
    goal: float
    at_most: bool = False
    """Whether the bar is an upper one."""
    runs: tuple[float, ...] = ()
    """What was judged, run by run."""

    @property
    def judged(self) -> float:
        """The figure that the bar is for."""
        return self.ours if self.ratio is None else self.ratio

    def meets(self, bound: float) -> bool:
        """Whether the figure is at least as good."""
        return self.judged <= bound if self.at_most else self.judged >= bound


def compared(
    row: str,
    what: str,
    unit: str,
    beside: str,
    pairs: Sequence[tuple[float, float]],
    *,
    bar: float,
    goal: float,
    at_most: bool = False,
) -> Line:
    """Return the line for pairs of (ours, limit), one for each run."""
    ratios = tuple(ours / limit for ours, limit in pairs)
    return Line(
        row=row,
        what=what,
        unit=unit,
        ours=statistics.median(ours for ours, _ in pairs),
        beside=beside,
        limit=statistics.median(limit for _, limit in pairs),
        ratio=statistics.median(ratios),
        bar=bar,
        goal=goal,
        at_most=at_most,
        runs=ratios,
    )


def measured(row: str, what: str, unit: str, figures: Sequence[float], *, bar: float, goal: float) -> Line:
    """Return the line for figures that have no limit beside them and should be small."""
    ours = statistics.median(figures)
    return Line(row=row, what=what, unit=unit, ours=ours, bar=bar, goal=goal, at_most=True, runs=tuple(figures))


def print_table(lines: Sequence[Line], console: Console) -> None:
    """Print one table for people."""
    table = Table(title="promissory, medians", title_justify="left")
    for name, justify in (("row", "left"), ("what", "left"), ("ours", "right"), ("limit", "right"), ("", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for name in ("ratio", "bar", "goal", "spread"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for line in lines:
        sign = "≤" if line.at_most else "≥"
        passed = "[green]goal" if line.meets(line.goal) else "[yellow]pass"
        table.add_row(
            line.row,
            f"{line.what}, {line.unit}",
            _figure(line.ours),
            "" if line.limit is None else _figure(line.limit),
            line.beside,
            "" if line.ratio is None else f"{line.ratio:.3f}",
            f"{sign} {_bound(line.bar)}",
            f"{sign} {_bound(line.goal)}",
            f"{_figure(min(line.runs))} .. {_figure(max(line.runs))}" if line.runs else "",
            passed if line.meets(line.bar) else "[bold red]FAIL",
        )
    console.print(table)


def to_json(lines: Sequence[Line]) -> bytes:
    """Return the lines as one compact JSON array, each with its verdicts."""
    rows = [
        {**msgspec.to_builtins(line), "meets_bar": line.meets(line.bar), "meets_goal": line.meets(line.goal)}
        for line in lines
    ]
    return msgspec.json.encode(rows)


def _figure(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _bound(value: float) -> str:
    return f"{value:,g}".replace(",", " ")
