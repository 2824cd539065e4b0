# SPDX-License-Identifier: Apache-2.0
"""Speed against size, and how many times as fast as the baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from quantbench_results import summary
from quantbench_results.figures.base import (
    LIMIT,
    Chart,
    Machine,
    are_lengths,
    empty_figure,
    figure_over_shapes,
    hover,
    in_order,
    meta,
    position,
    split,
    unit_of,
)
from quantbench_results.figures.styles import variant_order
from quantbench_results.rows import Row
from quantbench_results.summary import Standing
from quantbench_results.text import escape


def speed_charts(machine: Machine, op: str, standings: Sequence[Standing]) -> list[Chart]:
    """Speed against size, one chart per format; the limit and the caches drawn in."""
    charts = []
    for (format_,), group in split(standings, "format").items():
        rows = [standing.row for standing in group]
        by_size = are_lengths(rows)
        divisor, unit = unit_of(summary.is_arithmetic(rows[0]))
        ordered = in_order(group)
        figure = figure_over_shapes([standing.row for standing in ordered], unit)
        _add_limits(figure, machine, op, format_, ordered, by_size, divisor)
        lines = split(ordered, "variant", "threads")
        for variant in variant_order(key[0] for key in lines):
            for (name, threads), points in lines.items():
                if name == variant:
                    _add_line(figure, machine, points, by_size, divisor)
        if by_size:
            _add_caches(figure, machine, rows)
        figure.update_layout(meta={"unit": unit})
        charts.append(Chart("speed", f"{op} {format_}", "", op, figure, [format_], machine.label))
    return charts


def _add_line(
    figure: go.Figure, machine: Machine, points: Sequence[Standing], by_size: bool, divisor: float
) -> None:
    """One variant with one number of threads, in every measure that the page can show."""
    rows = [standing.row for standing in points]
    row = rows[0]
    speeds = [(summary.speed(row) or 0) / divisor for row in rows]
    measures = {
        "speed": speeds,
        "share": [summary.share(row) for row in rows],
        "items": [(row.counter("items_per_second") or 0) / 1e9 for row in rows],
        "scalar": [standing.over.get("scalar") for standing in points],
    }
    figure.add_scatter(
        x=[position(row, by_size) for row in rows],
        y=speeds,
        mode="lines+markers" if by_size else "markers",
        name=escape(row.variant),
        hovertext=[hover(standing) for standing in points],
        hovertemplate="%{hovertext}<extra></extra>",
        meta=meta("row", row.op, row.format, row.variant, machine, row.threads, y=measures),
    )


def _add_limits(
    figure: go.Figure,
    machine: Machine,
    op: str,
    format_: str,
    ordered: Sequence[Standing],
    by_size: bool,
    divisor: float,
) -> None:
    """What the machine could do at each size: the highest limit any of the variants has there."""
    highest: dict[tuple[int, Any], float] = {}
    for standing in ordered:
        value = summary.limit(standing.row)
        if value:
            key = (standing.row.threads, position(standing.row, by_size))
            highest[key] = max(highest.get(key, 0.0), value)
    for threads in sorted({key[0] for key in highest}):
        points = [(x, value / divisor) for (t, x), value in highest.items() if t == threads]
        y = [value for _, value in points]
        many = f", {threads} threads" if threads > 1 else ""
        figure.add_scatter(
            x=[x for x, _ in points],
            y=y,
            mode="lines" if by_size else "markers",
            line={"shape": "linear"},
            name=f"measured limit{many}",
            hovertemplate=f"measured limit{many}: %{{y:.3~g}}<extra></extra>",
            meta=meta(
                LIMIT,
                op,
                format_,
                "",
                machine,
                threads,
                y={"speed": y, "share": [100.0] * len(y), "items": None, "scalar": None},
            ),
        )


def _add_caches(figure: go.Figure, machine: Machine, rows: Sequence[Row]) -> None:
    """A line where the working set outgrows each measured cache level."""
    per_item = [touched / row.dims["n"] for row in rows if (touched := summary.working_set(row))]
    if not per_item:
        return
    bytes_per_item = sorted(per_item)[len(per_item) // 2]
    low, high = figure.layout.xaxis.range
    for name, capacity, _ in machine.results.caches:
        at = math.log10(capacity / bytes_per_item)
        if not low < at < high:
            continue
        figure.add_shape(
            type="line",
            xref="x",
            yref="paper",
            x0=10**at,
            x1=10**at,
            y0=0,
            y1=1,
            name="cache",
            line={"width": 1, "dash": "dot"},
        )
        figure.add_annotation(
            x=at,
            xref="x",
            y=1,
            yref="paper",
            text=f"{name}",
            name="cache",
            showarrow=False,
            xanchor="right",
            yanchor="top",
            xshift=-2,
            font={"size": 11},
        )


_BASELINES = {
    "scalar": "scalar",
    "autovec": "best autovec",
    "xsimd": "best xsimd",
    "peer": "best peer",
}


def speedup_charts(machine: Machine, op: str, standings: Sequence[Standing]) -> list[Chart]:
    """How many times as fast as scalar, the compiler and xsimd: mean over shapes, and the range."""
    charts = []
    for (format_,), group in split(standings, "format").items():
        present = [key for key in _BASELINES if any(key in s.over for s in group)]
        if not present:
            continue
        figure = empty_figure(
            "",
            "times as fast as",
            x={
                "type": "category",
                "categoryorder": "array",
                "categoryarray": [_BASELINES[key] for key in present],
            },
            y={"type": "log"},
        )
        figure.update_layout(scattermode="group", scattergap=0.25)
        figure.add_hline(y=1, line={"width": 1.5}, name="one")
        lines = split(group, "variant", "threads")
        for variant in variant_order(key[0] for key in lines):
            for (name, _), points in lines.items():
                if name == variant:
                    _add_speedups(figure, machine, points, present)
        charts.append(Chart("speedup", f"{op} {format_}", "", op, figure, [format_], machine.label))
    return charts


def _add_speedups(
    figure: go.Figure, machine: Machine, points: Sequence[Standing], baselines: Sequence[str]
) -> None:
    """One variant's speed-ups: the geometric mean over the shapes, with the range as bars."""
    row = points[0].row
    many = f", {row.threads} threads" if row.threads > 1 else ""
    x, y, up, down, text = [], [], [], [], []
    for key in baselines:
        values = [standing.over[key] for standing in points if key in standing.over]
        if not values:
            continue
        mean = summary.geometric_mean(values)
        x.append(_BASELINES[key])
        y.append(mean)
        up.append(max(values) - mean)
        down.append(mean - min(values))
        text.append(
            f"<b>{escape(row.variant)}</b> over {_BASELINES[key]}<br>"
            f"{escape(row.op)} {escape(row.format)}{many}"
            f"<br>{summary.times_text(mean)} (geometric mean of {len(values)} shapes)"
            f"<br>{summary.times_text(min(values))} to {summary.times_text(max(values))}"
        )
    if not x:
        return
    bars = {"type": "data", "array": up, "arrayminus": down, "thickness": 1.2, "width": 0}
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        name=escape(row.variant),
        offsetgroup=escape(f"{row.variant}/{row.threads}"),
        error_y=bars,
        hovertext=text,
        hovertemplate="%{hovertext}<extra></extra>",
        meta=meta("row", row.op, row.format, row.variant, machine, row.threads),
    )
