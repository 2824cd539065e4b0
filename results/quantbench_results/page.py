# SPDX-License-Identifier: Apache-2.0
"""The report's page: one HTML file with styles, Plotly and data inside, which fetches nothing. Plotly
and the data are compressed; the page's script unpacks them when the first chart is to be drawn."""

from __future__ import annotations

import base64
import functools
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from quantbench_results import dispatch, summary, validate
from quantbench_results.charts import charts_of
from quantbench_results.document import document, part, script_hash
from quantbench_results.figures.base import Chart, Machine
from quantbench_results.figures.model import model_charts
from quantbench_results.figures.styles import FAMILY_STYLES, styles, variant_order
from quantbench_results.page_notes import (
    checks_section,
    context_section,
    failed_section,
    loaded_section,
    reading_section,
    skipped_section,
)
from quantbench_results.page_parts import anchor, breakable, filter_bar
from quantbench_results.page_sections import (
    answers_section,
    best_by_operation,
    formats_section,
    front_section,
    op_section,
    overview_section,
    roofline_section,
)
from quantbench_results.rows import Results, Row
from quantbench_results.store import count_text
from quantbench_results.text import attribute

# Colours of machines side by side and of size classes: light, dark.
RAMP = {
    "light": [
        "#2563eb",
        "#b4690e",
        "#0b7a4b",
        "#c2255c",
        "#6d3fc0",
        "#0e7c86",
        "#667085",
        "#7a4300",
        "#111827",
    ],
    "dark": [
        "#6aa3ff",
        "#f2b04f",
        "#3ddc97",
        "#ff7eb0",
        "#b197fc",
        "#4fd6e0",
        "#a3acba",
        "#cfae8b",
        "#f8fafc",
    ],
}


def _packed(text: str) -> str:
    """Text compressed, in characters that can't end the script element they sit in."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@functools.cache
def _plotly() -> tuple[str, str]:
    """Plotly's script compressed, and the hash by which the page's policy lets it run."""
    script = get_plotlyjs()
    return _packed(script), script_hash(script)


def html_page(machines: Sequence[Machine], models: Sequence[Path] = ()) -> str:
    """The whole page: styles, Plotly and data inside, nothing fetched. `models` are files of
    quantbench-formats, measured on the first of the machines."""
    of_models = [chart for path in models for chart in model_charts(path, machines[0])]
    charts = [*of_models, *charts_of(machines)]
    filters = _filters(machines)
    data = json.dumps(_data(charts, filters), separators=(",", ":"), allow_nan=False)
    title = "quantbench: " + (
        machines[0].label
        if len(machines) == 1
        else count_text([machine.results for machine in machines])
    )
    plotly, plotly_hash = _plotly()
    body = f"""{_body(title, machines, charts, filters)}
<script type="text/plain" id="data">{_packed(data)}</script>
<script type="text/plain" id="plotly">{plotly}</script>"""
    return document(title, part("page.css"), body, part("page.js"), [plotly_hash], "data: blob:")


def _filters(machines: Sequence[Machine]) -> dict[str, list[Any]]:
    """What the page can filter by, and the values of each."""
    timed = [row for machine in machines for row in summary.timed(machine.results.rows)]
    return {
        "op": list(dict.fromkeys(row.op for row in timed)),
        "format": list(dict.fromkeys(row.format for row in timed)),
        "variant": variant_order(row.variant for row in timed),
        "machine": [machine.label for machine in machines],
        "threads": sorted({row.threads for row in timed}),
    }


def _data(charts: Sequence[Chart], filters: dict[str, list[Any]]) -> dict[str, Any]:
    """What the page's script draws from."""
    return {
        "styles": styles(filters["variant"]),
        "families": {name: styles([variant])[variant] for name, variant in FAMILY_STYLES.items()},
        "ramp": RAMP,
        "machines": filters["machine"],
        "filters": filters,
        "charts": [
            {
                "id": f"chart-{index}",
                "kind": chart.kind,
                "points": chart.points,
                "half": chart.kind in ("speed", "speedup", "machines"),
                "figure": chart.figure.to_plotly_json(),
            }
            for index, chart in enumerate(charts)
        ],
    }


def _body(
    title: str,
    machines: Sequence[Machine],
    charts: Sequence[Chart],
    filters: dict[str, list[Any]],
) -> str:
    rows = [row for machine in machines for row in machine.results.rows]
    best = best_by_operation(machines)
    sections = [
        _header(title, machines, rows),
        answers_section(machines),
        _facts(machines[0].results) if len(machines) == 1 else "",
        _contents(rows),
        filter_bar(filters),
        front_section(machines, charts),
        overview_section(machines, charts),
        formats_section(machines),
        *(op_section(op, machines, charts, best.get(op, [])) for op in filters["op"]),
        roofline_section(charts),
        skipped_section(machines),
        loaded_section(machines),
        failed_section(machines),
        checks_section(machines),
        context_section(machines),
        reading_section(),
    ]
    return "\n".join(sections)


def _header(title: str, machines: Sequence[Machine], rows: Sequence[Row]) -> str:
    failed = sum(row.failed for row in rows)
    parts = [f"<header><h1>{attribute(title)}</h1>"]
    for machine in machines:
        parts += _notes(
            machine.results, f"{attribute(machine.label)}: " if len(machines) > 1 else ""
        )
    if failed:
        parts.append(
            f'<p class="note bad">{failed} row{"s" if failed > 1 else ""} failed; '
            '<a href="#failed">see below</a>.</p>'
        )
    return "\n".join([*parts, "</header>"])


def _contents(rows: Sequence[Row]) -> str:
    ops = dict.fromkeys(row.op for row in rows)
    products = any(summary.is_arithmetic(row) for row in rows)
    links = [("#overview", "overview"), *([("#formats", "formats")] if products else [])]
    links += [(f"#op-{anchor(op)}", op) for op in ops]
    links += [("#roofline", "roofline")] if products else []
    links += [
        ("#skipped", "skipped"),
        ("#failed", "failed"),
        ("#context", "machine"),
        ("#reading", "how to read"),
    ]
    items = "".join(f'<a href="{attribute(where)}">{attribute(text)}</a>' for where, text in links)
    return f'<nav class="contents" aria-label="Contents">{items}</nav>'


def _notes(results: Results, who: str) -> list[str]:
    """What a reader must know of a file before any figure of it."""
    parts = []
    if not results.complete:
        missing = {f"{row.op} {row.format}" for row in dispatch.unmeasured(results)}
        what = f" ({len(missing)} formats without their dispatched variant)" if missing else ""
        parts.append(
            f'<p class="note bad">{who}the run was interrupted: rows are missing{what}. The best '
            "variant of what was measured may not be the best.</p>"
        )
    if results.emulated:
        parts.append(f'<p class="note bad">{who}emulated: timings mean nothing.</p>')
    elif not results.claims_timing:
        parts.append(f'<p class="note">{who}a smoke run: it makes no claim about time.</p>')
    bad = validate.errors(validate.validate(results))
    if bad:
        parts.append(
            f'<p class="note bad">{who}{len(bad)} of the checks failed; '
            '<a href="#checks">see below</a>.</p>'
        )
    return parts


def _facts(results: Results) -> str:
    failed = sum(row.failed for row in results.rows)
    facts = [
        ("CPU features", results.text("isa_enabled")),
        ("caches", results.text("caches_measured")),
        ("date", results.text("date")[:10]),
        (
            "revision",
            results.revision + (", changed" if results.text("git_dirty") == "yes" else ""),
        ),
        ("compiler", results.text("compiler")),
        ("rows", f"{len(results.rows)}" + (f", {failed} failed" if failed else "")),
    ]
    if peers := summary.peer_versions(results):
        facts.append(("beside", peers))
    items = "".join(f"<li>{attribute(key)} <b>{breakable(value)}</b></li>" for key, value in facts)
    return f'<ul class="facts">{items}</ul>'
