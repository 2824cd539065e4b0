# SPDX-License-Identifier: Apache-2.0
"""Parts of the page that its sections share: the bar of filters, grids of charts, tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from quantbench_results.figures.base import Chart
from quantbench_results.text import attribute


def anchor(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text)


_FILTERS = {
    "op": "Operation",
    "format": "Format",
    "variant": "Variant",
    "machine": "Machine",
    "threads": "Threads",
}


def counted(count: int, what: str) -> str:
    """1 row, 2 rows."""
    return f"{count} {what}{'s' if count != 1 else ''}"


def breakable(text: str) -> str:
    """Text for HTML that may go on in the next line within names like sse4.2+avx2+fma."""
    clean = attribute(text)
    for mark in ("+", "/"):
        clean = clean.replace(mark, f"{mark}<wbr>")
    return clean


def folded(id_: str, title: str, content: str, note: str = "", *, part: bool = False) -> str:
    """A section that opens on demand; `part`: hidden when filters leave nothing of it."""
    words = f' <span class="soft">{note}</span>' if note else ""
    return (
        f'<section id="{attribute(id_)}"{" data-part" if part else ""}><details class="section">'
        f"<summary><h2>{attribute(title)}</h2>{words}</summary>{content}</details></section>"
    )


def legend(variants: Iterable[str]) -> str:
    """Line, symbol and colour of each variant, beside the charts that draw them."""
    items = "".join(f"<li>{_swatch(variant)}{attribute(variant)}</li>" for variant in variants)
    return f'<ul class="legend" aria-label="Legend">{items}</ul>' if items else ""


def _swatch(variant: str) -> str:
    return (
        f'<svg viewBox="0 0 22 12" data-variant="{attribute(variant)}" aria-hidden="true">'
        '<path d="M0 6h22" stroke-width="1.8"/><path stroke-width="1.8"/></svg>'
    )


def filter_bar(filters: dict[str, list[Any]]) -> str:
    """What filters every chart and table, a line that stays in sight and unfolds."""
    rows = [
        _chips(key, label, filters[key])
        for key, label in _FILTERS.items()
        if len(filters[key]) > 1 or key == "variant"
    ]
    return "\n".join(
        [
            '<div class="filters">',
            '<details class="more"><summary>Legend and filters: variants, operations, formats, axes'
            '<span class="soft" id="hidden-count"></span></summary>',
            *rows,
            _axes(),
            '<p class="soft">A double click on a chip leaves only that one. Drag in a chart to zoom, '
            "double click in it to go back.</p>",
            "</details></div>",
        ]
    )


def _chips(key: str, label: str, values: Sequence[Any]) -> str:
    """A chip to click on for each value, and buttons for all and none of them."""
    parts = [f"<fieldset><legend>{label}</legend>"]
    for value in values:
        text = attribute(value)
        swatch = ""
        if key == "variant":
            swatch = _swatch(value)
        elif key == "machine":
            swatch = (
                f'<svg viewBox="0 0 22 12" data-machine="{text}" aria-hidden="true">'
                '<path d="M5 6a5 5 0 1 0 10 0a5 5 0 1 0-10 0z"/></svg>'
            )
        parts.append(
            f'<label class="chip"><input type="checkbox" name="{key}" value="{text}" '
            f"checked>{swatch}{text}</label>"
        )
    parts.append(
        f'<button type="button" data-key="{key}" data-all="on">all</button>'
        f'<button type="button" data-key="{key}" data-all="off">none</button></fieldset>'
    )
    return "".join(parts)


def _axes() -> str:
    return (
        "<fieldset><legend>Which format</legend>"
        + _radio("pace", "time", "time", True)
        + _radio("pace", "speed", "speed")
        + '<span class="soft">|</span>'
        + _radio("others", "best", "best variants", True)
        + _radio("others", "all", "every variant")
        + "</fieldset>"
        "<fieldset><legend>Charts by size</legend>"
        + _radio("measure", "speed", "speed", True)
        + _radio("measure", "share", "% of limit")
        + _radio("measure", "items", "items/s")
        + _radio("measure", "scalar", "× scalar")
        + '<span class="soft">|</span>'
        + _radio("scale", "log", "log", True)
        + _radio("scale", "linear", "linear")
        + "</fieldset>"
    )


def _radio(name: str, value: str, text: str, checked: bool = False) -> str:
    return (
        f'<label class="chip"><input type="radio" name="{name}" value="{value}"'
        f"{' checked' if checked else ''}>{attribute(text)}</label>"
    )


def grid_of(
    charts: Sequence[Chart],
    kind: str,
    grid: str,
    op: str | None = None,
    machine_named: bool = False,
    only: Sequence[Chart] | None = None,
) -> str:
    """A grid of the charts of one kind (and operation, and of those alone that are named)."""
    parts = []
    for index, chart in enumerate(charts):
        if chart.kind != kind or (op is not None and chart.op != op):
            continue
        if only is not None and not any(chart is other for other in only):
            continue
        machine = (
            f' <span class="soft">{attribute(chart.machine)}</span>'
            if machine_named and chart.machine
            else ""
        )
        height = int(chart.figure.layout.height or 300)
        parts.append(
            f"<figure><figcaption>{attribute(chart.title)}{machine}</figcaption>"
            f'<div class="chart" id="chart-{index}" role="img" style="min-height:{height}px" '
            f'aria-label="{attribute(chart.kind)} chart: {attribute(chart.title)}, {chart.points} points">'
            "</div></figure>"
        )
    return f'<div class="grid {grid}">{"".join(parts)}</div>' if parts else ""


def head(titles: Iterable[str], numbers: Iterable[int] = ()) -> str:
    right = set(numbers)
    cells = "".join(
        f'<th scope="col"{" class=number" if index in right else ""}>{attribute(title)}</th>'
        for index, title in enumerate(titles)
    )
    return f"<thead><tr>{cells}</tr></thead>"


def data_of(op: str, format_: str, threads: int, machine: str = "") -> str:
    return (
        f'data-op="{attribute(op)}" data-format="{attribute(format_)}" data-threads="{threads}" '
        f'data-machine="{attribute(machine)}"'
    )


MOST_OPEN_ROWS = 40
"""Longer tables open on demand."""


def table_details(title: str, table: str) -> str:
    opened = " open" if table.count("<tr") <= MOST_OPEN_ROWS else ""
    return (
        f'<details class="table"{opened} data-part><summary>{attribute(title)}</summary><div class="scroll">'
        f"<table>{table}</table></div></details>"
    )
