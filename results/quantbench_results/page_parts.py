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


def filter_bar(filters: dict[str, list[Any]]) -> str:
    """The legend of every chart, which stays in sight and filters, and further filters to unfold."""
    legends, rows = [], []
    for key, label in _FILTERS.items():
        if len(filters[key]) > 1 or key == "variant":
            chips = _chips(key, label, filters[key])
            (legends if key in ("variant", "machine") else rows).append(chips)
    return "\n".join(
        [
            '<div class="filters">',
            *legends,
            '<details class="more"><summary>Operations, formats, axes'
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
            swatch = (
                f'<svg viewBox="0 0 22 12" data-variant="{text}" aria-hidden="true">'
                '<path d="M0 6h22" stroke-width="1.8"/><path stroke-width="1.8"/></svg>'
            )
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
) -> str:
    """A grid of the charts of one kind (and operation)."""
    parts = []
    for index, chart in enumerate(charts):
        if chart.kind != kind or (op is not None and chart.op != op):
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


def table_details(title: str, table: str) -> str:
    return (
        f'<details class="table" open data-part><summary>{attribute(title)}</summary><div class="scroll">'
        f"<table>{table}</table></div></details>"
    )
