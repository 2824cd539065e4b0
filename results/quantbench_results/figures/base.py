# SPDX-License-Identifier: Apache-2.0
"""What every chart shares: the record of a chart, an empty figure, axes, and what a point says."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from quantbench_results import rules, summary
from quantbench_results.rows import Results, Row
from quantbench_results.summary import Standing
from quantbench_results.text import escape

LIMIT = "limit"


@dataclass(frozen=True)
class Machine:
    """One file of the report and the label that tells it from the others."""

    label: str
    results: Results


@dataclass
class Chart:
    kind: str
    title: str
    note: str
    op: str
    figure: go.Figure
    formats: list[str] = field(default_factory=list)
    machine: str = ""

    @property
    def points(self) -> int:
        """Points of rows (not of limits and caches)."""
        return sum(len(trace.x) for trace in self.figure.data if trace.meta["role"] == "row")


def hover(standing: Standing) -> str:
    """What a point says when pointed at."""
    row = standing.row
    items = row.counter("items_per_second")
    percent = summary.share(row)
    lines = [
        f"<b>{escape(row.variant)}</b>",
        f"{escape(row.op)} {escape(row.format)}, {escape(row.shape)}"
        + (f", {row.threads} threads" if row.threads > 1 else ""),
        summary.speed_text(row) + (f", {summary.scaled(items, 'items/s')}" if items else ""),
        f"{summary.time_text(rules.figure(row))}, {summary.spread_text(row)} over {len(row.times_ns)}",
    ]
    if percent:
        lines.append(f"{percent:.0f} % of the measured limit")
    over = [f"{summary.times_text(value)} {name}" for name, value in standing.over.items()]
    if over:
        lines.append(", ".join(over))
    lines.append(escape(summary.error_text(row)))
    if row.counter("over_limit"):
        lines.append("OVER THE LIMIT: a measuring error")
    return "<br>".join(lines)


def meta(
    role: str, op: str, format_: str, variant: str, machine: Machine, threads: int, **more: Any
) -> dict[str, Any]:
    return {
        "role": role,
        "op": op,
        "format": format_,
        "variant": variant,
        "machine": machine.label,
        "threads": threads,
        **more,
    }


def empty_figure(
    x_title: str,
    y_title: str,
    *,
    x: dict[str, Any] | None = None,
    y: dict[str, Any] | None = None,
    height: int = 300,
) -> go.Figure:
    """An empty chart; x and y are further settings of its axes."""
    figure = go.Figure()
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 56, "r": 14, "t": 14, "b": 44},
        showlegend=False,
        hovermode="closest",
        xaxis={"title": {"text": x_title}, "automargin": True, **(x or {})},
        yaxis={"title": {"text": y_title}, "automargin": True, **(y or {})},
    )
    return figure


def unit_of(arithmetic: bool) -> tuple[float, str]:
    return (1e9, "Gop/s") if arithmetic else (1e9, "GB/s")


def are_lengths(rows: Sequence[Row]) -> bool:
    """Whether the shapes are lengths, so that the axis is a number."""
    return all(set(row.dims) == {"n"} and row.shape == f"n:{row.dims['n']}" for row in rows)


def shape_rank(row: Row) -> tuple[Any, ...]:
    dims = row.dims
    return (row.cold, dims.get("m", 0), math.prod(dims.values()), row.shape)


def position(row: Row, by_size: bool) -> Any:
    return row.dims["n"] if by_size else escape(summary.shape_text(row))


def in_order(standings: Iterable[Standing]) -> list[Standing]:
    return sorted(standings, key=lambda standing: shape_rank(standing.row))


def split(standings: Iterable[Standing], *keys: str) -> dict[tuple[Any, ...], list[Standing]]:
    """By these attributes of the row, in the order met."""
    groups: dict[tuple[Any, ...], list[Standing]] = {}
    for standing in standings:
        groups.setdefault(tuple(getattr(standing.row, key) for key in keys), []).append(standing)
    return groups


def nice_decades(values: Iterable[float]) -> list[float]:
    """A log axis' range around the values, as exponents."""
    logs = [math.log10(value) for value in values if value > 0]
    if not logs:
        return [0.0, 1.0]
    pad = max(0.06 * (max(logs) - min(logs)), 0.08)
    return [min(logs) - pad, max(logs) + pad]


def size_ticks(sizes: Iterable[int]) -> dict[str, Any]:
    """Ticks at the sizes, thinned to about seven, as 4 Ki, 64 Ki, ..."""
    distinct = sorted(set(sizes))
    step = max(1, math.ceil(len(distinct) / 7))
    ticks = distinct[::-1][::step][::-1]
    return {"tickvals": ticks, "ticktext": [summary.binary_text(n) for n in ticks]}


def add_legend(figure: go.Figure) -> None:
    figure.update_layout(
        showlegend=True,
        margin={"l": 56, "r": 14, "t": 40, "b": 44},
        legend={
            "orientation": "h",
            "y": 1,
            "yanchor": "bottom",
            "x": 0,
            "itemclick": False,
            "itemdoubleclick": False,
        },
    )


def figure_over_shapes(ordered: Sequence[Row], unit: str) -> go.Figure:
    """An empty chart with a place for each of these rows' shapes: lengths as numbers, else names."""
    by_size = are_lengths(ordered)
    if by_size:
        x: dict[str, Any] = {"type": "log", **size_ticks(row.dims["n"] for row in ordered)}
        x["range"] = nice_decades(row.dims["n"] for row in ordered)
    else:
        positions = list(dict.fromkeys(position(row, False) for row in ordered))
        x = {"type": "category", "categoryorder": "array", "categoryarray": positions}
    title = "elements" if by_size else "m × n × k"
    return empty_figure(title, unit, x=x, y={"type": "log"})


def categories(names: Sequence[str]) -> dict[str, Any]:
    """Settings of a vertical axis with a line per name, the first on top."""
    return {
        "type": "category",
        "categoryorder": "array",
        "categoryarray": list(names)[::-1],
        "dtick": 1,
        "range": [-0.6, len(names) - 0.4],
    }
