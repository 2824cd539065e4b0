# SPDX-License-Identifier: Apache-2.0
"""Roofline of the matmuls: rows under the peaks and bandwidths that were measured in the run."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from quantbench_results import summary
from quantbench_results.figures.base import (
    LIMIT,
    Chart,
    Machine,
    empty_figure,
    hover,
    meta,
    nice_decades,
    split,
)
from quantbench_results.rows import Results, Row
from quantbench_results.summary import Standing
from quantbench_results.text import escape


def roofline_charts(machine: Machine, standings: Sequence[Standing]) -> list[Chart]:
    """Operations a second against operations a byte, one chart per thread count: every matmul row
    under the arithmetic peaks and the bandwidths that were measured in the run."""
    charts = []
    rows = [s for s in standings if summary.is_arithmetic(s.row) and _intensity(s.row)]
    for (threads,), group in sorted(split(rows, "threads").items()):
        figure = empty_figure(
            "operations per byte", "Gop/s", x={"type": "log"}, y={"type": "log"}, height=460
        )
        xs = [_intensity(s.row) for s in group]
        low, high = 10 ** nice_decades(xs)[0] / 1.5, 10 ** nice_decades(xs)[1] * 1.5
        tops = _add_roofs(figure, machine, threads, low, high)
        for (op, format_, variant), points in split(group, "op", "format", "variant").items():
            figure.add_scatter(
                x=[_intensity(s.row) for s in points],
                y=[(summary.speed(s.row) or 0) / 1e9 for s in points],
                mode="markers",
                name=escape(f"{variant} {format_}"),
                hovertext=[hover(s) for s in points],
                hovertemplate="%{hovertext}<extra></extra>",
                meta=meta("row", op, format_, variant, machine, threads),
            )
        speeds = [(summary.speed(s.row) or 0) / 1e9 for s in group]
        figure.update_xaxes(range=[math.log10(low), math.log10(high)])
        figure.update_yaxes(range=nice_decades([*speeds, *tops]))
        title = "1 thread" if threads == 1 else f"{threads} threads"
        formats = list(dict.fromkeys(s.row.format for s in group))
        charts.append(Chart("roofline", title, "", group[0].row.op, figure, formats, machine.label))
    return charts


def _intensity(row: Row) -> float:
    done, moved = row.counter("ops_per_second"), row.counter("bytes_per_second")
    return done / moved if done and moved else 0.0


def measured_bandwidths(results: Results, threads: int) -> list[tuple[str, float]]:
    """The highest reading bandwidth measured in each cache level and beyond, slowest first."""
    best: dict[str, float] = {}
    levels = [(name, size) for name, size, _ in results.caches]
    for label, rate in results.limits.items():
        parts = dict(part.split(":", 1) for part in label.split("/")[1:] if ":" in part)
        if not label.startswith("bandwidth_") or parts.get("threads") != str(threads):
            continue
        try:
            size = int(parts.get("bytes", ""))
        except ValueError:
            continue
        level = next((name for name, capacity in levels if size <= capacity), "memory")
        best[level] = max(best.get(level, 0.0), rate)
    return sorted(best.items(), key=lambda item: item[1])


def measured_peaks(results: Results, threads: int) -> list[tuple[str, float]]:
    """The arithmetic peaks measured for this thread count, of each type of number that of the
    fastest instruction set: ("f32 avx2", op/s), slowest first."""
    best: dict[str, tuple[str, float]] = {}
    for label, rate in results.limits.items():
        parts = label.split("/")
        if not parts[0].startswith("peak_") or parts[-1] != f"threads:{threads}":
            continue
        kind = parts[0].removeprefix("peak_")
        if rate > best.get(kind, ("", 0.0))[1]:
            best[kind] = (" ".join([kind, *parts[1:-1]]), rate)
    return sorted(best.values(), key=lambda item: item[1])


_NEAR = 1.3
"""Roofs less than so many times apart would write their labels over each other."""


def peak_labels(peaks: Sequence[tuple[str, float]]) -> dict[str, str]:
    """What is written at each peak, slowest first: the highest of those near each other is named for
    all of them."""
    labels = {name: "" for name, _ in peaks}
    together: list[tuple[str, float]] = []
    for index, (name, rate) in enumerate(peaks):
        together.append((name, rate))
        if index + 1 < len(peaks) and peaks[index + 1][1] / rate < _NEAR:
            continue
        rates = f"{summary.scaled(together[0][1], 'op/s')}"
        if len(together) > 1:
            rates += f" to {summary.scaled(rate, 'op/s')}"
        labels[name] = f"{', '.join(n for n, _ in together)}: {rates}"
        together = []
    return labels


def _add_roofs(
    figure: go.Figure, machine: Machine, threads: int, low: float, high: float
) -> list[float]:
    """Slopes for the bandwidths up to the highest peak, flats for the peaks; the peaks' heights."""
    peaks, slopes = (
        measured_peaks(machine.results, threads),
        measured_bandwidths(machine.results, threads),
    )
    top = peaks[-1][1] if peaks else None
    for index, (name, rate) in enumerate(slopes):
        end = min(high, top / rate) if top else high
        if end <= low:
            continue
        # Levels hardly slower than the next share its label.
        near = [n for n, other in slopes if 1 <= rate / other < _NEAR]
        hidden = index + 1 < len(slopes) and slopes[index + 1][1] / rate < _NEAR
        label = "" if hidden else f"{', '.join(near[::-1])}: {summary.scaled(rate, 'B/s')}"
        _add_roof(
            figure,
            machine,
            threads,
            [low, end],
            [low * rate / 1e9, end * rate / 1e9],
            f"{name}: {summary.scaled(rate, 'B/s')}",
            label,
            "bottom right",
            0,
        )
    fastest = slopes[-1][1] if slopes else None
    labels = peak_labels(peaks)
    for name, rate in peaks:
        start = max(low, rate / fastest) if fastest else low
        if start < high:
            text = f"{name}: {summary.scaled(rate, 'op/s')}"
            label = labels[name]
            _add_roof(
                figure, machine, threads, [start, high], [rate / 1e9] * 2, text, label, "top left", 1
            )
    return [rate / 1e9 for _, rate in peaks]


def _add_roof(
    figure: go.Figure,
    machine: Machine,
    threads: int,
    x: list[float],
    y: list[float],
    text: str,
    label: str,
    where: str,
    at: int,
) -> None:
    labels = [escape(label) if index == at else "" for index in range(2)]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines+text",
        text=labels,
        textposition=where,
        name=escape(text),
        hovertemplate=f"{escape(text)}<extra></extra>",
        meta=meta(LIMIT, "", "", "", machine, threads),
    )
