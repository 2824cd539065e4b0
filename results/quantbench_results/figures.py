"""The report's charts, as Plotly figures that carry what the page's filters need.

Every trace has `meta`: op, format, variant, machine, threads, and `y`: the same points in other
measures. Colours are the page's business (light and dark), so a trace only names its variant.
All text in a figure is escaped: Plotly reads markup in names.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from quantbench_results import summary
from quantbench_results.load import Results, Row
from quantbench_results.summary import Standing

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


def escape(text: str) -> str:
    return html.escape(text, quote=False)


# Light and dark colour of each variant: a hue per family, darker the wider the vectors.
_AUTOVEC = (("#d99a2b", "#f2c063"), ("#b4690e", "#e69138"), ("#7a4300", "#c9751a"))
_XSIMD = (("#6aa5e3", "#a9d0fb"), ("#2563eb", "#6aa3ff"), ("#1c3f94", "#4478e6"))
_PEERS = (
    ("#b42318", "#ff8a80"),
    ("#8f3fae", "#dd9bf5"),
    ("#a0526b", "#e6a1b7"),
    ("#7b5b3a", "#cfae8b"),
    ("#5f6f1a", "#b9cc60"),
)
_HAND = {
    "sse4_2": ("#5aa469", "#a5d8ae"),
    "avx2": ("#0b7a4b", "#3ddc97"),
    "neon": ("#0b7a4b", "#3ddc97"),
    "avxvnni": ("#0e7c86", "#4fd6e0"),
    "neon_dotprod": ("#0e7c86", "#4fd6e0"),
    "avx512": ("#6d3fc0", "#b197fc"),
    "neon_fp16": ("#6d3fc0", "#b197fc"),
    "avx512vnni": ("#c2255c", "#ff7eb0"),
    "neon_i8mm": ("#c2255c", "#ff7eb0"),
    "avx512bf16": ("#8a6d00", "#e3c934"),
    "neon_bf16": ("#8a6d00", "#e3c934"),
    "avx512fp16": ("#4a5d23", "#bcd35f"),
    "sve": ("#4a5d23", "#bcd35f"),
    "amx": ("#111827", "#f8fafc"),
}
_SYMBOLS = {
    "scalar": "x-thin-open",
    "autovec": "square",
    "xsimd": "diamond",
    "hand": "circle",
    "peer": "triangle-up",
}
_DASHES = {"scalar": "dot", "autovec": "dot", "xsimd": "dash", "hand": "solid", "peer": "dashdot"}
_FAMILY_ORDER = ("scalar", "autovec", "xsimd", "hand", "peer")
_WIDTHS = ("sse4_2", "neon", "avx2", "fma", "avx512", "sve")


def _width(variant: str) -> int:
    """0 baseline or 128 bits, 1 256 bits, 2 wider."""
    if "avx512" in variant or "sve" in variant:
        return 2
    return 1 if "avx2" in variant or "fma" in variant or variant.endswith("_neon") else 0


def variant_order(variants: Iterable[str]) -> list[str]:
    """scalar first, then by family and width; peers last."""
    hand = list(_HAND)

    def rank(variant: str) -> tuple[int, int, int, str]:
        kind = summary.family(variant)
        known = hand.index(variant) if variant in _HAND else len(hand)
        return (_FAMILY_ORDER.index(kind), known if kind == "hand" else 0, _width(variant), variant)

    return sorted(set(variants), key=rank)


# How a family is drawn where its variants are one: as this variant of it.
FAMILY_STYLES = {"autovec": "autovec_avx2", "xsimd": "xsimd_avx2", "hand": "avx2", "peer": "peer:"}


def styles(variants: Iterable[str]) -> dict[str, dict[str, str]]:
    """Per variant its colour in the light and in the dark, its symbol and its dash."""
    found: dict[str, dict[str, str]] = {}
    peers = itertools.cycle(_PEERS)
    strangers = itertools.cycle(_PEERS[::-1])
    for variant in variant_order(variants):
        kind = summary.family(variant)
        if kind == "scalar":
            light, dark = "#667085", "#a3acba"
        elif kind == "autovec":
            light, dark = _AUTOVEC[_width(variant)]
        elif kind == "xsimd":
            light, dark = _XSIMD[_width(variant)]
        elif kind == "peer":
            light, dark = next(peers)
        else:
            light, dark = _HAND.get(variant) or next(strangers)
        found[variant] = {
            "light": light,
            "dark": dark,
            "symbol": _SYMBOLS[kind],
            "dash": _DASHES[kind],
        }
    return found


def hover(standing: Standing) -> str:
    """What a point says when pointed at."""
    row = standing.row
    items = row.at_best("items_per_second")
    percent = summary.share(row)
    lines = [
        f"<b>{escape(row.variant)}</b>",
        f"{escape(row.op)} {escape(row.format)}, {escape(row.shape)}"
        + (f", {row.threads} threads" if row.threads > 1 else ""),
        summary.speed_text(row) + (f", {summary.scaled(items, 'items/s')}" if items else ""),
        f"{summary.time_text(row.best_ns)}, slowest of {len(row.times_ns)}: "
        f"+{100 * summary.spread(row):.1f} %",
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


def _meta(
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


def _figure(
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


def _unit(arithmetic: bool) -> tuple[float, str]:
    return (1e9, "Gop/s") if arithmetic else (1e9, "GB/s")


def _by_size(rows: Sequence[Row]) -> bool:
    """Whether the shapes are lengths, so that the axis is a number."""
    return all(set(row.dims) == {"n"} and row.shape == f"n:{row.dims['n']}" for row in rows)


def _shape_rank(row: Row) -> tuple[Any, ...]:
    dims = row.dims
    return (row.cold, dims.get("m", 0), math.prod(dims.values()), row.shape)


def _position(row: Row, by_size: bool) -> Any:
    return row.dims["n"] if by_size else escape(summary.shape_text(row))


def _in_order(standings: Iterable[Standing]) -> list[Standing]:
    return sorted(standings, key=lambda standing: _shape_rank(standing.row))


def _split(standings: Iterable[Standing], *keys: str) -> dict[tuple[Any, ...], list[Standing]]:
    """By these attributes of the row, in the order met."""
    groups: dict[tuple[Any, ...], list[Standing]] = {}
    for standing in standings:
        groups.setdefault(tuple(getattr(standing.row, key) for key in keys), []).append(standing)
    return groups


def _nice_decades(values: Iterable[float]) -> list[float]:
    """A log axis' range around the values, as exponents."""
    logs = [math.log10(value) for value in values if value > 0]
    if not logs:
        return [0.0, 1.0]
    pad = max(0.06 * (max(logs) - min(logs)), 0.08)
    return [min(logs) - pad, max(logs) + pad]


def _size_ticks(sizes: Iterable[int]) -> dict[str, Any]:
    """Ticks at the sizes, thinned to about seven, as 4 Ki, 64 Ki, ..."""
    distinct = sorted(set(sizes))
    step = max(1, math.ceil(len(distinct) / 7))
    ticks = distinct[::-1][::step][::-1]
    return {"tickvals": ticks, "ticktext": [summary.binary_text(n) for n in ticks]}


def speed_charts(machine: Machine, op: str, standings: Sequence[Standing]) -> list[Chart]:
    """Speed against size, one chart per format; the limit and the caches drawn in."""
    charts = []
    for (format_,), group in _split(standings, "format").items():
        rows = [standing.row for standing in group]
        by_size = _by_size(rows)
        arithmetic = summary.is_arithmetic(rows[0])
        divisor, unit = _unit(arithmetic)
        ordered = _in_order(group)
        if by_size:
            x: dict[str, Any] = {"type": "log", **_size_ticks(row.dims["n"] for row in rows)}
            x["range"] = _nice_decades(row.dims["n"] for row in rows)
        else:
            positions = list(dict.fromkeys(_position(s.row, False) for s in ordered))
            x = {"type": "category", "categoryorder": "array", "categoryarray": positions}
        figure = _figure("elements" if by_size else "m × n × k", unit, x=x, y={"type": "log"})
        _add_limits(figure, machine, op, format_, ordered, by_size, divisor)
        split = _split(ordered, "variant", "threads")
        for variant in variant_order(key[0] for key in split):
            for (name, threads), points in split.items():
                if name != variant:
                    continue
                best = [standing.row for standing in points]
                speeds = [(summary.speed(row) or 0) / divisor for row in best]
                figure.add_scatter(
                    x=[_position(row, by_size) for row in best],
                    y=speeds,
                    mode="lines+markers" if by_size else "markers",
                    name=escape(variant),
                    hovertext=[hover(standing) for standing in points],
                    hovertemplate="%{hovertext}<extra></extra>",
                    meta=_meta(
                        "row",
                        op,
                        format_,
                        variant,
                        machine,
                        threads,
                        y={
                            "speed": speeds,
                            "share": [summary.share(row) for row in best],
                            "items": [(row.at_best("items_per_second") or 0) / 1e9 for row in best],
                            "scalar": [standing.over.get("scalar") for standing in points],
                        },
                    ),
                )
        if by_size:
            _add_caches(figure, machine, rows)
        figure.update_layout(meta={"unit": unit})
        charts.append(Chart("speed", f"{op} {format_}", "", op, figure, [format_], machine.label))
    return charts


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
            key = (standing.row.threads, _position(standing.row, by_size))
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
            meta=_meta(
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


def speedup_charts(machine: Machine, op: str, standings: Sequence[Standing]) -> list[Chart]:
    """How many times as fast as scalar, the compiler and xsimd: mean over shapes, and the range."""
    charts = []
    names = {
        "scalar": "scalar",
        "autovec": "best autovec",
        "xsimd": "best xsimd",
        "peer": "best peer",
    }
    for (format_,), group in _split(standings, "format").items():
        present = [key for key in names if any(key in s.over for s in group)]
        if not present:
            continue
        figure = _figure(
            "",
            "times as fast as",
            x={
                "type": "category",
                "categoryorder": "array",
                "categoryarray": [names[key] for key in present],
            },
            y={"type": "log"},
        )
        figure.update_layout(scattermode="group", scattergap=0.25)
        figure.add_hline(y=1, line={"width": 1.5}, name="one")
        split = _split(group, "variant", "threads")
        for variant in variant_order(key[0] for key in split):
            for (name, threads), points in split.items():
                if name != variant:
                    continue
                x, y, up, down, text = [], [], [], [], []
                for key in present:
                    values = [s.over[key] for s in points if key in s.over]
                    if not values:
                        continue
                    mean = summary.geometric_mean(values)
                    x.append(names[key])
                    y.append(mean)
                    up.append(max(values) - mean)
                    down.append(mean - min(values))
                    text.append(
                        f"<b>{escape(variant)}</b> over {names[key]}<br>"
                        f"{escape(op)} {escape(format_)}"
                        + (f", {threads} threads" if threads > 1 else "")
                        + f"<br>{summary.times_text(mean)} (geometric mean of {len(values)} shapes)"
                        f"<br>{summary.times_text(min(values))} to {summary.times_text(max(values))}"
                    )
                if not x:
                    continue
                figure.add_scatter(
                    x=x,
                    y=y,
                    mode="markers",
                    name=escape(variant),
                    offsetgroup=escape(f"{variant}/{threads}"),
                    error_y={
                        "type": "data",
                        "array": up,
                        "arrayminus": down,
                        "thickness": 1.2,
                        "width": 0,
                    },
                    hovertext=text,
                    hovertemplate="%{hovertext}<extra></extra>",
                    meta=_meta("row", op, format_, variant, machine, threads),
                )
        charts.append(Chart("speedup", f"{op} {format_}", "", op, figure, [format_], machine.label))
    return charts


def error_charts(machine: Machine, op: str, standings: Sequence[Standing]) -> list[Chart]:
    """Error against speed, one chart per shape, for operations that are not exact."""
    charts = []
    inexact = [s for s in standings if (s.row.counter("nmse") or 0) > 0]
    for (shape,), group in _split(_in_order(inexact), "shape").items():
        divisor, unit = _unit(summary.is_arithmetic(group[0].row))
        logs = [math.log10(s.row.counter("nmse") or 1.0) for s in group]
        low, high = math.floor(min(logs)) - 0.3, math.ceil(max(logs)) + 0.7
        figure = _figure(
            unit,
            "normalised mean squared error",
            x={
                "type": "log",
                "range": _nice_decades(summary.speed(s.row) / divisor for s in group),
            },
            y={
                "type": "log",
                "range": [low, high],
                "dtick": max(1, round((high - low) / 8)),
                "tickformat": ".0e",
            },
            height=360,
        )
        for (format_, variant, threads), points in _split(
            group, "format", "variant", "threads"
        ).items():
            figure.add_scatter(
                x=[(summary.speed(s.row) or 0) / divisor for s in points],
                y=[s.row.counter("nmse") for s in points],
                mode="markers",
                name=escape(f"{variant} {format_}"),
                hovertext=[hover(s) for s in points],
                hovertemplate="%{hovertext}<extra></extra>",
                meta=_meta("row", op, format_, variant, machine, threads),
            )
        for near in _clusters(group):
            top = max(near, key=lambda s: summary.speed(s.row) or 0)
            names = list(dict.fromkeys(s.row.format for s in near))
            text = ", ".join(names) if len(names) < 3 else f"{names[0]} \u2026 {names[-1]}"
            figure.add_scatter(
                x=[(summary.speed(top.row) or 0) / divisor],
                y=[top.row.counter("nmse")],
                mode="text",
                text=[escape(text) + "<br> "],
                textposition="top left",
                hoverinfo="skip",
                cliponaxis=False,
                meta=_meta(
                    "name", op, names[0] if len(names) == 1 else "", "", machine, top.row.threads
                ),
            )
        title = f"{op} {summary.shape_text(group[0].row)}"
        formats = list(dict.fromkeys(s.row.format for s in group))
        charts.append(Chart("error", title, "", op, figure, formats, machine.label))
    return charts


def _clusters(group: Iterable[Standing]) -> list[list[Standing]]:
    """Rows of about the same error together, so that their formats' names don't overlap."""
    clusters: list[list[Standing]] = []
    for standing in sorted(group, key=lambda s: s.row.counter("nmse") or 0):
        error = standing.row.counter("nmse") or 0
        if clusters and error < 1.6 * (clusters[-1][-1].row.counter("nmse") or 0):
            clusters[-1].append(standing)
        else:
            clusters.append([standing])
    return clusters


def roofline_charts(machine: Machine, standings: Sequence[Standing]) -> list[Chart]:
    """Operations a second against operations a byte, one chart per thread count: every matmul row
    under the arithmetic peaks and the bandwidths that were measured in the run."""
    charts = []
    rows = [s for s in standings if summary.is_arithmetic(s.row) and _intensity(s.row)]
    for (threads,), group in sorted(_split(rows, "threads").items()):
        figure = _figure(
            "operations per byte", "Gop/s", x={"type": "log"}, y={"type": "log"}, height=460
        )
        xs = [_intensity(s.row) for s in group]
        low, high = 10 ** _nice_decades(xs)[0] / 1.5, 10 ** _nice_decades(xs)[1] * 1.5
        tops = _add_roofs(figure, machine, threads, low, high)
        for (op, format_, variant), points in _split(group, "op", "format", "variant").items():
            figure.add_scatter(
                x=[_intensity(s.row) for s in points],
                y=[(summary.speed(s.row) or 0) / 1e9 for s in points],
                mode="markers",
                name=escape(f"{variant} {format_}"),
                hovertext=[hover(s) for s in points],
                hovertemplate="%{hovertext}<extra></extra>",
                meta=_meta("row", op, format_, variant, machine, threads),
            )
        speeds = [(summary.speed(s.row) or 0) / 1e9 for s in group]
        figure.update_xaxes(range=[math.log10(low), math.log10(high)])
        figure.update_yaxes(range=_nice_decades([*speeds, *tops]))
        title = "1 thread" if threads == 1 else f"{threads} threads"
        formats = list(dict.fromkeys(s.row.format for s in group))
        charts.append(Chart("roofline", title, "", group[0].row.op, figure, formats, machine.label))
    return charts


def _intensity(row: Row) -> float:
    done, moved = row.at_best("ops_per_second"), row.at_best("bytes_per_second")
    return done / moved if done and moved else 0.0


def _bandwidths(results: Results, threads: int) -> list[tuple[str, float]]:
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


def _peaks(results: Results, threads: int) -> list[tuple[str, float]]:
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


def _add_roofs(
    figure: go.Figure, machine: Machine, threads: int, low: float, high: float
) -> list[float]:
    """Slopes for the bandwidths up to the highest peak, flats for the peaks; the peaks' heights."""
    peaks, slopes = _peaks(machine.results, threads), _bandwidths(machine.results, threads)
    top = peaks[-1][1] if peaks else None
    for index, (name, rate) in enumerate(slopes):
        end = min(high, top / rate) if top else high
        if end <= low:
            continue
        # Levels hardly slower than the next share its label.
        near = [n for n, other in slopes if 1 <= rate / other < 1.25]
        hidden = index + 1 < len(slopes) and slopes[index + 1][1] / rate < 1.25
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
    for name, rate in peaks:
        start = max(low, rate / fastest) if fastest else low
        if start < high:
            text = f"{name}: {summary.scaled(rate, 'op/s')}"
            _add_roof(
                figure, machine, threads, [start, high], [rate / 1e9] * 2, text, text, "top left", 1
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
        meta=_meta(LIMIT, "", "", "", machine, threads),
    )


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
    ours = [s for s in standings if not s.row.is_peer and summary.share(s.row)]
    threads = min((s.row.threads for s in ours), default=1)
    ours = [s for s in ours if s.row.threads == threads]
    best = [
        summary.fastest([s.row for s in group])
        for group in _split(ours, "op", "format", "shape").values()
    ]
    found = {id(s.row): s for s in ours}
    points = [found[id(row)] for row in best if row is not None]
    if not points:
        return None
    ops = list(dict.fromkeys(s.row.op for s in points))
    points.sort(key=lambda s: ops.index(s.row.op))
    names = list(dict.fromkeys(_op_format(s.row) for s in points))
    figure = _figure(
        "% of the measured limit",
        "",
        x={"range": [0, 108], "dtick": 20, "zeroline": True},
        y={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names[::-1],
            "dtick": 1,
            "range": [-0.6, len(names) - 0.4],
        },
        height=90 + 21 * len(names),
    )
    figure.add_vline(x=100, line={"width": 1.5}, name="one")
    classes = list(dict.fromkeys(_class(s.row, machine) for s in _by_class(points, machine)))
    for index, name in enumerate(classes):
        symbol = _CLASS_SYMBOLS[index % len(_CLASS_SYMBOLS)]
        first = True
        for (op, format_), group in _split(
            [s for s in points if _class(s.row, machine) == name], "op", "format"
        ).items():
            figure.add_scatter(
                x=[summary.share(s.row) for s in group],
                y=[_op_format(s.row) for s in group],
                mode="markers",
                name=escape(name),
                legendgroup=str(index),
                showlegend=first,
                marker={"symbol": symbol, "size": 9},
                hovertext=[hover(s) for s in group],
                hovertemplate="%{hovertext}<extra></extra>",
                meta=_meta("row", op, format_, "", machine, threads, rank=index),
            )
            first = False
    _add_legend(figure)
    return Chart(
        "overview", "Best variants: how near to the limit", "", "", figure, [], machine.label
    )


FAMILY_NAMES = {
    "autovec": "compiler",
    "xsimd": "portable (xsimd)",
    "hand": "intrinsics",
    "peer": "best peer",
}


def families_chart(machine: Machine, standings: Sequence[Standing]) -> Chart | None:
    """Per operation how many times as fast as plain loops the best of each family is, and where the
    limit lies: geometric means over formats and shapes, one thread."""
    groups: dict[str, list[list[Standing]]] = {}
    alone = [s for s in standings if s.row.threads == 1 and s.over.get("scalar")]
    for group in _split(alone, "op", "format", "shape", "threads").values():
        row = group[0].row
        name = row.op
        if summary.is_arithmetic(row):
            name += " m = 1" if row.dims.get("m") == 1 else " m > 1"
        groups.setdefault(name, []).append(group)
    if not groups:
        return None
    names = [escape(name) for name in groups]
    figure = _figure(
        "times as fast as plain loops",
        "",
        x={"type": "log"},
        y={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names[::-1],
            "dtick": 1,
            "range": [-0.6, len(names) - 0.4],
        },
        height=130 + 34 * len(names),
    )
    figure.add_vline(x=1, line={"width": 1.5}, name="one")
    shown: set[str] = set()
    ratios: list[float] = [1.0]
    for name, found in groups.items():
        op = found[0][0].row.op
        points: list[tuple[str, str, list[float]]] = []
        for family, words in FAMILY_NAMES.items():
            best = [
                max(s.over["scalar"] for s in group if summary.family(s.row.variant) == family)
                for group in found
                if any(summary.family(s.row.variant) == family for s in group)
            ]
            points.append((family, words, best))
        limits = [
            max(s.over["scalar"] * 100 / share for s in group if (share := summary.share(s.row)))
            for group in found
            if any(summary.share(s.row) for s in group)
        ]
        points.append((LIMIT, "measured limit", limits))
        for family, words, values in points:
            if not values:
                continue
            mean = summary.geometric_mean(values)
            ratios.append(mean)
            figure.add_scatter(
                x=[mean],
                y=[escape(name)],
                mode="markers",
                name=words,
                legendgroup=family,
                showlegend=family not in shown,
                hovertemplate=f"<b>{words}</b><br>{escape(name)}: {summary.times_text(mean)} "
                f"(geometric mean of {len(values)}, {summary.times_text(min(values))} to "
                f"{summary.times_text(max(values))})<extra></extra>",
                meta=_meta("row", op, "", "", machine, 1, family=family),
            )
            shown.add(family)
    figure.update_xaxes(range=_nice_decades(ratios))
    _add_legend(figure)
    return Chart(
        "families",
        "What vectorising buys, and what is left",
        "",
        "",
        figure,
        [],
        machine.label,
    )


def _add_legend(figure: go.Figure) -> None:
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
        rows = [standing.row for _, standing in found]
        by_size = _by_size(rows)
        divisor, unit = _unit(summary.is_arithmetic(rows[0]))
        ordered = sorted(found, key=lambda item: _shape_rank(item[1].row))
        if by_size:
            x: dict[str, Any] = {"type": "log", **_size_ticks(row.dims["n"] for row in rows)}
            x["range"] = _nice_decades(row.dims["n"] for row in rows)
        else:
            positions = list(dict.fromkeys(_position(s.row, False) for _, s in ordered))
            x = {"type": "category", "categoryorder": "array", "categoryarray": positions}
        figure = _figure("elements" if by_size else "m × n × k", unit, x=x, y={"type": "log"})
        for machine in machines:
            mine = [s for owner, s in ordered if owner is machine]
            for (threads,), points in sorted(_split(mine, "threads").items()):
                figure.add_scatter(
                    x=[_position(s.row, by_size) for s in points],
                    y=[(summary.speed(s.row) or 0) / divisor for s in points],
                    mode="lines+markers" if by_size else "markers",
                    name=escape(machine.label),
                    hovertext=[f"{escape(machine.label)}<br>{hover(s)}" for s in points],
                    hovertemplate="%{hovertext}<extra></extra>",
                    meta=_meta("row", op, format_, "", machine, threads),
                )
        charts.append(Chart("machines", f"{op} {format_}", "", op, figure, [format_]))
    return charts
