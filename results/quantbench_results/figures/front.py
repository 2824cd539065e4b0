# SPDX-License-Identifier: Apache-2.0
"""The picture that answers which format: speed against error, a point for each way to store and multiply
weights, larger the more bits a weight takes, and the front: what no faster point beats in error. The page
can show the other variants of each format as well, and times instead of speeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from quantbench_results import layer, pareto, rules, summary
from quantbench_results.figures.base import (
    Chart,
    Machine,
    add_legend,
    empty_figure,
    hover,
    in_order,
    meta,
    nice_decades,
    split,
    unit_of,
)
from quantbench_results.rows import PEER
from quantbench_results.summary import Standing
from quantbench_results.text import escape

LEAST_ERROR = 1e-7
"""Errors below are drawn here: less than f16 weights lose, and a question of no consequence."""
Y_TITLE = "normalised mean squared error, weights' included"
PEERS, PLANS = "other projects", "mixed plans"
_SERIES = {"a8": 0, "a32": 1, "abf16": 2, "f16": 4, PEERS: 3, PLANS: 8}
"""What points are told apart by, and their places on the page's ramp of colours."""
_NAMES = {"a8": "a8: activations in 8 bits", "a32": "a32: f32 activations", "abf16": "abf16: both in bf16",
          "f16": "f16 activations"}  # fmt: skip
_SYMBOLS = {PLANS: "star"}
_FRONT_RANK = 6
_NAME_WIDTH, _NAME_HEIGHT = 0.14, 0.042
"""Of the axes, about what a name takes: of names that would overlap only one is shown."""


@dataclass(frozen=True)
class Point:
    """A way to store and multiply weights."""

    name: str
    series: str
    x: float
    """Speed: more is better."""
    error: float
    bits: float
    hover: str
    format: str = ""
    variant: str = ""
    """Of a peer, which has a colour and a symbol of its own."""

    @property
    def y(self) -> float:
        return max(self.error, LEAST_ERROR)


def front_of(points: Iterable[Point]) -> list[Point]:
    """The points that err less than every faster one, fastest first."""
    return pareto.front(points, lambda p: -p.x, lambda p: p.error)


def figure_of(points: Sequence[Point], x_title: str, machine: Machine, op: str, threads: int) -> go.Figure:
    """Points and front; peers' points are no part of the front."""
    figure = _empty(points, x_title)
    front = front_of(p for p in points if p.series != PEERS)
    figure.add_scatter(
        x=[p.x for p in front], y=[p.y for p in front], mode="lines", line={"shape": "hv"},
        hoverinfo="skip", showlegend=False,
        meta=meta("front", op, "", "", machine, threads, rank=_FRONT_RANK),
    )  # fmt: skip
    shown: set[str] = set()
    for point in sorted(points, key=lambda p: (list(_SERIES).index(p.series), p.variant)):
        legend = point.variant or point.series
        figure.add_scatter(
            x=[point.x], y=[point.y], mode="markers", legendgroup=legend,
            name=escape(_NAMES.get(legend, legend.removeprefix(PEER))), showlegend=legend not in shown,
            marker={"size": [5 + 2.4 * math.sqrt(point.bits)], "opacity": 0.85,
                    "symbol": _SYMBOLS.get(point.series, "circle")},
            hovertext=[point.hover], hovertemplate="%{hovertext}<extra></extra>",
            meta=meta("row", op, point.format, point.variant, machine, threads, rank=_SERIES[point.series]),
        )  # fmt: skip
        shown.add(legend)
    for point in _named([p for p in front if p.series != PLANS], figure):
        figure.add_scatter(
            x=[point.x], y=[point.y], mode="text", text=[f"\u2002{escape(point.name)}"],
            textposition="bottom right",
            hoverinfo="skip", cliponaxis=False, showlegend=False,
            meta=meta("name", op, point.format, "", machine, threads),
        )  # fmt: skip
    add_legend(figure)
    figure.update_layout(legend={"itemsizing": "constant"}, margin={"l": 80, "r": 14, "t": 40, "b": 44})
    return figure


def _empty(points: Sequence[Point], x_title: str) -> go.Figure:
    highest = max(point.y for point in points)
    low, high = math.log10(LEAST_ERROR) - 0.3, math.log10(highest) + 0.5
    decades = range(round(math.log10(LEAST_ERROR)), math.ceil(high))
    left, right = nice_decades(point.x for point in points)
    return empty_figure(
        x_title,
        Y_TITLE,
        x={"type": "log", "range": [left, right + _NAME_WIDTH * (right - left)]},
        y={
            "type": "log",
            "range": [low, high],
            "tickvals": [10.0**d for d in decades],
            "ticktext": [f"{'≤ ' if i == 0 else ''}1e{d}" for i, d in enumerate(decades)],
        },
        height=500,
    )


def _named(front: Sequence[Point], figure: go.Figure) -> list[Point]:
    """The points of the front that get their names, to the right of them, where nothing else lies."""
    spans = [axis.range[1] - axis.range[0] for axis in (figure.layout.xaxis, figure.layout.yaxis)]
    found: list[Point] = []
    for point in sorted(front, key=lambda p: p.error, reverse=True):
        if not any(
            abs(math.log10(point.x / other.x)) < _NAME_WIDTH * spans[0]
            and abs(math.log10(point.y / other.y)) < _NAME_HEIGHT * spans[1]
            for other in found
        ):
            found.append(point)
    return found


def front_charts(machine: Machine, standings: Sequence[Standing]) -> list[Chart]:
    """A picture for each shape of products: our best variant of each format, the best kernel of each
    other project, and all others for those who want them."""
    products = [
        s for s in standings
        if s.row.op == "matmul" and not s.row.failed and summary.total_error(s.row) is not None
        and summary.speed(s.row)
    ]  # fmt: skip
    charts = []
    for (_, threads), group in split(in_order(products), "shape", "threads").items():
        best = _best(group)
        points = [point for standing in best if (point := _point(standing))]
        own = [point for point in points if point.series != PEERS]
        if len(own) < 2:
            continue
        _, unit = unit_of(True)
        figure = figure_of(points, unit, machine, "matmul", threads)
        shown = {id(standing) for standing in best}
        _add_others(figure, machine, [s for s in group if id(s) not in shown])
        work = (summary.speed(group[0].row) or 0) * rules.figure(group[0].row) * 1e-9
        figure.update_layout(meta={"operations": work})
        shape = summary.shape_text(group[0].row)
        title = f"Which format: {shape}" + (f", {threads} threads" if threads > 1 else "")
        formats = list(dict.fromkeys(point.format for point in points))
        charts.append(Chart("front", title, "", "matmul", figure, formats, machine.label))
    return charts


def _best(group: Sequence[Standing]) -> list[Standing]:
    """Of each format our best variant, and the best kernel of each other project."""
    best: dict[tuple[str, str], Standing] = {}
    for standing in group:
        key = standing.row.format, standing.row.variant if standing.row.is_peer else ""
        if key not in best or rules.figure(standing.row) < rules.figure(best[key].row):
            best[key] = standing
    return list(best.values())


def _point(standing: Standing) -> Point | None:
    row = standing.row
    bits = layer.weight_bits(row)
    if bits is None:
        return None
    arithmetic = row.format.partition(".")[0]
    series = PEERS if row.is_peer else arithmetic if arithmetic in _SERIES else "a32"
    name = f"{row.format} {row.variant.removeprefix(PEER)}" if row.is_peer else row.format
    divisor, _ = unit_of(True)
    words = f"{hover(standing)}<br>{bits:.4g} bits a weight, whole error {summary.total_error(row):.1e}"
    return Point(
        name, series, (summary.speed(row) or 0) / divisor, summary.total_error(row) or 0.0, bits, words,
        row.format, row.variant if row.is_peer else "",
    )  # fmt: skip


def _add_others(figure: go.Figure, machine: Machine, others: Sequence[Standing]) -> None:
    """The variants that are not the best of their formats, which the page draws when asked to."""
    divisor, _ = unit_of(True)
    for points in split(others, "format", "variant", "threads").values():
        row = points[0].row
        figure.add_scatter(
            x=[(summary.speed(s.row) or 0) / divisor for s in points],
            y=[max(summary.total_error(s.row) or 0.0, LEAST_ERROR) for s in points],
            mode="markers", marker={"size": 6, "opacity": 0.6}, showlegend=False,
            name=escape(f"{row.variant} {row.format}"),
            hovertext=[hover(s) for s in points], hovertemplate="%{hovertext}<extra></extra>",
            meta=meta("other", row.op, row.format, row.variant, machine, row.threads),
        )  # fmt: skip
