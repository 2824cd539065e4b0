# SPDX-License-Identifier: Apache-2.0
"""The overview: how near the best variants are to the limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from quantbench_results import summary
from quantbench_results.figures.base import (
    Chart,
    Machine,
    add_legend,
    categories,
    empty_figure,
    hover,
    meta,
    split,
)
from quantbench_results.rows import Row
from quantbench_results.summary import Standing
from quantbench_results.text import escape

_CLASS_SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "star",
    "triangle-up",
    "pentagon",
    "hexagon",
    "triangle-down",
    "cross",
)


def overview_chart(machine: Machine, standings: Sequence[Standing]) -> Chart | None:
    """Per operation and format the best of ours, as a share of the limit, one point a size."""
    points = _best_of_ours(standings)
    if not points:
        return None
    names = list(dict.fromkeys(_op_format(s.row) for s in points))
    figure = empty_figure(
        "% of the measured limit",
        "",
        x={"range": [0, 108], "dtick": 20, "zeroline": True},
        y=categories(names),
        height=90 + 21 * len(names),
    )
    figure.add_vline(x=100, line={"width": 1.5}, name="one")
    classes = list(dict.fromkeys(_class(s.row, machine) for s in _by_class(points, machine)))
    for index, name in enumerate(classes):
        _add_class(
            figure, machine, name, index, [s for s in points if _class(s.row, machine) == name]
        )
    add_legend(figure)
    return Chart(
        "overview", "Best variants: how near to the limit", "", "", figure, [], machine.label
    )


def _best_of_ours(standings: Sequence[Standing]) -> list[Standing]:
    """With the least number of threads, per key the best of ours; operations kept together."""
    ours = [s for s in standings if not s.row.is_peer and summary.share(s.row)]
    threads = min((s.row.threads for s in ours), default=1)
    ours = [s for s in ours if s.row.threads == threads]
    found = {id(s.row): s for s in ours}
    best = [
        summary.best_of(s.row for s in group)
        for group in split(ours, "op", "format", "shape").values()
    ]
    points = [found[id(row)] for row in best if row is not None]
    ops = list(dict.fromkeys(s.row.op for s in points))
    return sorted(points, key=lambda s: ops.index(s.row.op))


def _add_class(
    figure: go.Figure, machine: Machine, name: str, index: int, points: Sequence[Standing]
) -> None:
    """The points of one size class; the first of its traces stands in the legend."""
    symbol = _CLASS_SYMBOLS[index % len(_CLASS_SYMBOLS)]
    for number, ((op, format_), group) in enumerate(split(points, "op", "format").items()):
        figure.add_scatter(
            x=[summary.share(s.row) for s in group],
            y=[_op_format(s.row) for s in group],
            mode="markers",
            name=escape(name),
            legendgroup=str(index),
            showlegend=number == 0,
            marker={"symbol": symbol, "size": 9},
            hovertext=[hover(s) for s in group],
            hovertemplate="%{hovertext}<extra></extra>",
            meta=meta("row", op, format_, "", machine, group[0].row.threads, rank=index),
        )


def _op_format(row: Row) -> str:
    return escape(f"{row.op} {row.format}")


def _class(row: Row, machine: Machine) -> str:
    if summary.is_arithmetic(row):
        m = row.dims.get("m", 0)
        return f"{'cold, ' if row.cold else ''}m = {m}" if m == 1 else "m > 1"
    return summary.size_class(row, machine.results)


def _by_class(points: Iterable[Standing], machine: Machine) -> list[Standing]:
    order = [
        *(name for name, _, _ in machine.results.caches),
        "memory",
        "m = 1",
        "cold, m = 1",
        "m > 1",
    ]
    return sorted(points, key=lambda s: order.index(_class(s.row, machine)))
