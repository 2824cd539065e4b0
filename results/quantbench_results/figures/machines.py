# SPDX-License-Identifier: Apache-2.0
"""Machines side by side: the best of ours on each."""

from __future__ import annotations

from collections.abc import Sequence

from quantbench_results import summary
from quantbench_results.figures.base import (
    Chart,
    Machine,
    are_lengths,
    figure_over_shapes,
    hover,
    meta,
    position,
    shape_rank,
    split,
    unit_of,
)
from quantbench_results.summary import Standing
from quantbench_results.text import escape


def machines_charts(machines: Sequence[Machine]) -> list[Chart]:
    """Side by side: per operation and format each machine's best of ours against size."""
    best: dict[tuple[str, str], list[tuple[Machine, Standing]]] = {}
    for machine in machines:
        for winner in summary.best_variants(machine.results.rows):
            row = winner.row
            best.setdefault((row.op, row.format), []).append((machine, winner.standing))
    charts = []
    for (op, format_), found in best.items():
        if len({machine.label for machine, _ in found}) < 2:
            continue
        ordered = sorted(found, key=lambda item: shape_rank(item[1].row))
        rows = [standing.row for _, standing in ordered]
        by_size = are_lengths(rows)
        divisor, unit = unit_of(summary.is_arithmetic(rows[0]))
        figure = figure_over_shapes(rows, unit)
        for machine in machines:
            mine = [s for owner, s in ordered if owner is machine]
            for (threads,), points in sorted(split(mine, "threads").items()):
                figure.add_scatter(
                    x=[position(s.row, by_size) for s in points],
                    y=[(summary.speed(s.row) or 0) / divisor for s in points],
                    mode="lines+markers" if by_size else "markers",
                    name=escape(machine.label),
                    hovertext=[f"{escape(machine.label)}<br>{hover(s)}" for s in points],
                    hovertemplate="%{hovertext}<extra></extra>",
                    meta=meta("row", op, format_, "", machine, threads),
                )
        charts.append(Chart("machines", f"{op} {format_}", "", op, figure, [format_]))
    return charts
