# SPDX-License-Identifier: Apache-2.0
"""Error beside speed: what a product loses in all, and how fast it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from quantbench_results import summary
from quantbench_results.figures.base import (
    Chart,
    Machine,
    empty_figure,
    hover,
    in_order,
    meta,
    nice_decades,
    split,
    unit_of,
)
from quantbench_results.summary import Standing
from quantbench_results.text import escape


def _error(standing: Standing) -> float:
    """The whole error: what quantizing the weights lost and what the kernel's arithmetic adds."""
    return summary.total_error(standing.row) or 0.0


def error_charts(machine: Machine, op: str, standings: Sequence[Standing]) -> list[Chart]:
    """Whole error against speed, one chart per shape, for operations that are not exact."""
    charts = []
    inexact = [standing for standing in standings if _error(standing) > 0]
    for (_,), group in split(in_order(inexact), "shape").items():
        divisor, unit = unit_of(summary.is_arithmetic(group[0].row))
        figure = _empty(group, unit, divisor)
        for points in split(group, "format", "variant", "threads").values():
            row = points[0].row
            figure.add_scatter(
                x=[(summary.speed(s.row) or 0) / divisor for s in points],
                y=[_error(s) for s in points],
                mode="markers",
                name=escape(f"{row.variant} {row.format}"),
                hovertext=[hover(s) for s in points],
                hovertemplate="%{hovertext}<extra></extra>",
                meta=meta("row", op, row.format, row.variant, machine, row.threads),
            )
        _add_names(figure, machine, group, divisor)
        title = f"{op} {summary.shape_text(group[0].row)}"
        formats = list(dict.fromkeys(s.row.format for s in group))
        charts.append(Chart("error", title, "", op, figure, formats, machine.label))
    return charts


def _empty(group: Sequence[Standing], unit: str, divisor: float) -> go.Figure:
    logs = [math.log10(_error(standing)) for standing in group]
    low, high = math.floor(min(logs)) - 0.3, math.ceil(max(logs)) + 0.7
    speeds = nice_decades((summary.speed(standing.row) or 0) / divisor for standing in group)
    return empty_figure(
        unit,
        "normalised mean squared error, weights' included",
        x={"type": "log", "range": speeds},
        y={
            "type": "log",
            "range": [low, high],
            "dtick": max(1, round((high - low) / 8)),
            "tickformat": ".0e",
        },
        height=360,
    )


def _add_names(
    figure: go.Figure, machine: Machine, group: Sequence[Standing], divisor: float
) -> None:
    """The formats' names at their best variants; formats of about the same error share a name."""
    for near in _clusters(group):
        top = max(near, key=lambda standing: summary.speed(standing.row) or 0)
        names = list(dict.fromkeys(standing.row.format for standing in near))
        text = ", ".join(names) if len(names) < 3 else f"{names[0]} \u2026 {names[-1]}"
        only = names[0] if len(names) == 1 else ""
        figure.add_scatter(
            x=[(summary.speed(top.row) or 0) / divisor],
            y=[_error(top)],
            mode="text",
            text=[escape(text) + "<br> "],
            textposition="top left",
            hoverinfo="skip",
            cliponaxis=False,
            meta=meta("name", top.row.op, only, "", machine, top.row.threads),
        )


def _clusters(group: Iterable[Standing]) -> list[list[Standing]]:
    """Rows of about the same error together, so that their formats' names don't overlap."""
    clusters: list[list[Standing]] = []
    for standing in sorted(group, key=_error):
        if clusters and _error(standing) < 1.6 * _error(clusters[-1][-1]):
            clusters[-1].append(standing)
        else:
            clusters.append([standing])
    return clusters
