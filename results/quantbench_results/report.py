"""Turns results files into one HTML page that opens offline, and a Markdown summary.

quantbench-report [FILE|FOLDER ...]   default: the newest file under results/
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import html
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from quantbench_results import figures, load, summary, validate
from quantbench_results.cli import guarded
from quantbench_results.figures import Chart, Machine
from quantbench_results.load import Results, Row
from quantbench_results.summary import Best

ABOUT = {
    "absmax": "The largest magnitude: what every symmetric quantization begins with.",
    "convert": "Between f32 and the 16-bit floating-point types.",
    "quantize": "From floating point to integer codes and scales.",
    "dequantize": "From codes and scales back to floating point.",
    "pack": "From codes to the stored layout.",
    "unpack": "From the stored layout to codes.",
    "matmul": "Activations times quantized weights. m = 1 is decoding, larger m prefill. `a32`: f32 "
    "activations; `a8`: activations quantized to int8 inside the timed part.",
    "repack": "Weights into the layout that a matmul kernel reads; done once, never inside a timed "
    "matmul.",
}

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

DASH = "\N{EN DASH}"


def label_machines(files: Sequence[Results]) -> list[Machine]:
    """A label for each file: the CPU, and what else tells it from the others."""
    names = [results.text("cpu_name", "unknown CPU")[:60] for results in files]
    ids = [results.machine_id for results in files]
    runs = [f"{results.text('date')[:10]} {results.revision[:12]}" for results in files]
    labels = list(names)
    for index, name in enumerate(names):
        if names.count(name) > 1:
            labels[index] += f" {ids[index].rsplit('-', 1)[-1]}"
        if ids.count(ids[index]) > 1:
            labels[index] += f", {runs[index]}"
    seen: dict[str, int] = {}
    for index, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] > 1:
            labels[index] += f" ({seen[label]})"
    return [Machine(label, results) for label, results in zip(labels, files, strict=True)]


def charts_of(machines: Sequence[Machine]) -> list[Chart]:
    """Every chart of the report, in the order of the page."""
    charts: list[Chart] = []
    if len(machines) > 1:
        charts += figures.machines_charts(machines)
    for machine in machines:
        rows = summary.standings(machine.results.rows)
        families = figures.families_chart(machine, rows)
        if families:
            charts.append(families)
        overview = figures.overview_chart(machine, rows)
        if overview:
            charts.append(overview)
        for op in dict.fromkeys(s.row.op for s in rows):
            of_op = [s for s in rows if s.row.op == op]
            charts += figures.speed_charts(machine, op, of_op)
            charts += figures.speedup_charts(machine, op, of_op)
            charts += figures.error_charts(machine, op, of_op)
        charts += figures.roofline_charts(machine, rows)
    return charts


# --- HTML


def e(text: object) -> str:
    return html.escape(str(text), quote=True)


def _json_block(data: Any) -> str:
    """JSON that can't end the script element it sits in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(script: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


def _part(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def html_page(machines: Sequence[Machine]) -> str:
    """The whole page: styles, Plotly and data inside, nothing fetched."""
    charts = charts_of(machines)
    rows = [row for machine in machines for row in machine.results.rows]
    timed = [row for machine in machines for row in summary.timed(machine.results.rows)]
    filters = {
        "op": list(dict.fromkeys(row.op for row in timed)),
        "format": list(dict.fromkeys(row.format for row in timed)),
        "variant": figures.variant_order(row.variant for row in timed),
        "machine": [machine.label for machine in machines],
        "threads": sorted({row.threads for row in timed}),
    }
    data = {
        "styles": figures.styles(filters["variant"]),
        "families": {
            name: figures.styles([variant])[variant]
            for name, variant in figures.FAMILY_STYLES.items()
        },
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
    plotly, page = get_plotlyjs(), _part("page.js")
    policy = (
        f"default-src 'none'; script-src {_hash(plotly)} {_hash(page)}; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    title = "quantbench: " + (
        machines[0].label if len(machines) == 1 else f"{len(machines)} machines"
    )
    body = "\n".join(
        [
            _header(title, machines, rows),
            _filter_bar(filters),
            _overview(machines, charts),
            *(_op_section(op, machines, charts) for op in filters["op"]),
            _roofline_section(charts),
            _skipped_section(machines),
            _failed_section(machines),
            _checks_section(machines),
            _context_section(machines),
            _reading_section(),
        ]
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{e(title)}</title>
<link rel="icon" href="data:,">
<style>
{_part("page.css")}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{_json_block(data)}</script>
<script>{plotly}</script>
<script>{page}</script>
</body>
</html>
"""


def _header(title: str, machines: Sequence[Machine], rows: Sequence[Row]) -> str:
    failed = sum(row.failed for row in rows)
    parts = [f"<header><h1>{e(title)}</h1>"]
    parts.append(
        "<p>SIMD kernels under quantized inference: how fast each variant is, and how near to what "
        "the machine can do. Every row was verified against an independent oracle on the inputs "
        "that were timed.</p>"
    )
    if len(machines) == 1:
        parts.append(_facts(machines[0].results, failed))
    for machine in machines:
        results, who = machine.results, f"{e(machine.label)}: " if len(machines) > 1 else ""
        if not results.complete:
            parts.append(f'<p class="note">{who}the run was interrupted: rows are missing.</p>')
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
    if failed:
        parts.append(
            f'<p class="note bad">{failed} row{"s" if failed > 1 else ""} failed; '
            '<a href="#failed">see below</a>.</p>'
        )
    ops = dict.fromkeys(row.op for row in rows)
    links = [("#overview", "overview"), *((f"#op-{_anchor(op)}", op) for op in ops)]
    links += [("#roofline", "roofline")] if any(summary.is_arithmetic(row) for row in rows) else []
    links += [
        ("#skipped", "skipped"),
        ("#failed", "failed"),
        ("#context", "machine"),
        ("#reading", "how to read"),
    ]
    parts.append('<nav class="contents" aria-label="Contents">')
    parts += [f'<a href="{e(where)}">{e(text)}</a>' for where, text in links]
    parts.append("</nav></header>")
    return "\n".join(parts)


def _facts(results: Results, failed: int) -> str:
    facts = [
        ("", results.text("isa_enabled")),
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
    items = "".join(f"<li>{e(key)} <b>{e(value)}</b></li>" for key, value in facts)
    return f'<ul class="facts">{items}</ul>'


def _anchor(text: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in text)


def _filter_bar(filters: dict[str, list[Any]]) -> str:
    """The legend of every chart, which stays in sight and filters, and further filters to unfold."""
    names = {
        "op": "Operation",
        "format": "Format",
        "variant": "Variant",
        "machine": "Machine",
        "threads": "Threads",
    }
    legends, rows = [], []
    for key, label in names.items():
        if len(filters[key]) < 2 and key != "variant":
            continue
        parts = [f"<fieldset><legend>{label}</legend>"]
        for value in filters[key]:
            swatch = ""
            if key == "variant":
                swatch = (
                    f'<svg viewBox="0 0 22 12" data-variant="{e(value)}" aria-hidden="true">'
                    '<path d="M0 6h22" stroke-width="1.8"/><path stroke-width="1.8"/></svg>'
                )
            elif key == "machine":
                swatch = (
                    f'<svg viewBox="0 0 22 12" data-machine="{e(value)}" aria-hidden="true">'
                    '<path d="M5 6a5 5 0 1 0 10 0a5 5 0 1 0-10 0z"/></svg>'
                )
            parts.append(
                f'<label class="chip"><input type="checkbox" name="{key}" value="{e(value)}" '
                f"checked>{swatch}{e(value)}</label>"
            )
        parts.append(
            f'<button type="button" data-key="{key}" data-all="on">all</button>'
            f'<button type="button" data-key="{key}" data-all="off">none</button></fieldset>'
        )
        (legends if key in ("variant", "machine") else rows).append("".join(parts))
    rows.append(
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
    return "\n".join(
        [
            '<div class="filters">',
            *legends,
            '<details class="more"><summary>Operations, formats, axes'
            '<span class="soft" id="hidden-count"></span></summary>',
            *rows,
            '<p class="soft">A double click on a chip leaves only that one. Drag in a chart to zoom, '
            "double click in it to go back.</p>",
            "</details></div>",
        ]
    )


def _radio(name: str, value: str, text: str, checked: bool = False) -> str:
    return (
        f'<label class="chip"><input type="radio" name="{name}" value="{value}"'
        f"{' checked' if checked else ''}>{e(text)}</label>"
    )


def _figures(
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
            f' <span class="soft">{e(chart.machine)}</span>'
            if machine_named and chart.machine
            else ""
        )
        height = int(chart.figure.layout.height or 300)
        parts.append(
            f"<figure><figcaption>{e(chart.title)}{machine}</figcaption>"
            f'<div class="chart" id="chart-{index}" role="img" style="min-height:{height}px" '
            f'aria-label="{e(chart.kind)} chart: {e(chart.title)}, {chart.points} points">'
            "</div></figure>"
        )
    return f'<div class="grid {grid}">{"".join(parts)}</div>' if parts else ""


def _overview(machines: Sequence[Machine], charts: Sequence[Chart]) -> str:
    several = len(machines) > 1
    drawn = _figures(charts, "overview", "wide" if several else "one", machine_named=several)
    parts = ['<section id="overview"><h2>Overview</h2>']
    if several:
        parts.append(_index_table(machines))
    several_grid = "wide" if several else "one"
    families = _figures(charts, "families", several_grid, machine_named=several)
    if families:
        parts.append(
            "<p>The best of each family of variants beside plain loops, one thread: geometric means "
            "over formats and shapes. The limit is what this machine was measured to allow for the "
            "same work; what lies between it and the best is what a better kernel could gain.</p>"
            f"<div data-part>{families}</div>"
        )
    if drawn:
        parts.append(
            "<p>The best of our own variants at each size, one thread: its measured rate as a share "
            "of the lower of two limits, the bandwidth that this machine gave at that working set "
            "and the arithmetic peak it gave for that instruction set.</p>"
        )
        parts.append(f"<div data-part>{drawn}</div>")
    else:
        parts.append('<p class="soft">No row claims a timing.</p>')
    if several:
        side = _figures(charts, "machines", "")
        if side:
            parts.append(f"<div data-part><h3>Machines side by side: the best of ours</h3>{side}")
            parts.append(_side_by_side(machines) + "</div>")
    parts.append("</section>")
    return "\n".join(parts)


def _index_table(machines: Sequence[Machine]) -> str:
    head = (
        "machine",
        "instruction sets",
        "caches measured",
        "compiler",
        "date",
        "revision",
        "rows",
        "failed",
    )
    lines = [
        (
            m.label,
            m.results.text("isa_enabled"),
            m.results.text("caches_measured"),
            m.results.text("compiler"),
            m.results.text("date")[:10],
            m.results.revision[:12],
            len(m.results.rows),
            sum(row.failed for row in m.results.rows),
        )
        for m in machines
    ]
    body = "".join("<tr>" + "".join(f"<td>{e(x)}</td>" for x in line) + "</tr>" for line in lines)
    return f'<div class="scroll"><table>{_head(head)}<tbody>{body}</tbody></table></div>'


def _head(titles: Iterable[str], numbers: Iterable[int] = ()) -> str:
    right = set(numbers)
    cells = "".join(
        f'<th scope="col"{" class=number" if index in right else ""}>{e(title)}</th>'
        for index, title in enumerate(titles)
    )
    return f"<thead><tr>{cells}</tr></thead>"


def side_by_side(machines: Sequence[Machine]) -> dict[tuple[str, str, str, int], dict[str, Best]]:
    """Per key the best of ours on every machine that has it; only keys that two machines share."""
    found: dict[tuple[str, str, str, int], dict[str, Best]] = {}
    for machine in machines:
        for best in summary.best_variants(machine.results.rows):
            found.setdefault(best.row.key, {})[machine.label] = best
    return {key: by_machine for key, by_machine in found.items() if len(by_machine) > 1}


def _side_by_side(machines: Sequence[Machine]) -> str:
    table = side_by_side(machines)
    titles = ["operation", "format", "shape", "threads", *(machine.label for machine in machines)]
    lines = []
    for (op, format_, shape, threads), by_machine in table.items():
        fastest = min(best.row.best_ns for best in by_machine.values())
        cells = []
        for machine in machines:
            best = by_machine.get(machine.label)
            if best is None:
                cells.append(f"<td>{DASH}</td>")
                continue
            mark = ("<b>", "</b>") if best.row.best_ns == fastest else ("", "")
            percent = summary.share(best.row)
            tail = f", {percent:.0f} %" if percent else ""
            cells.append(
                f"<td>{mark[0]}{e(summary.speed_text(best.row))}{mark[1]} "
                f'<span class="soft">{e(best.row.variant)}{tail}</span></td>'
            )
        lines.append(
            f"<tr {_data(op, format_, threads)}><td>{e(op)}</td><td>{e(format_)}</td>"
            f"<td>{e(summary.shape_text(next(iter(by_machine.values())).row))}</td>"
            f"<td>{threads}</td>{''.join(cells)}</tr>"
        )
    return _table_details(
        f"Best variant and share of its limit on each machine ({len(lines)} shapes)",
        f"{_head(titles)}<tbody>{''.join(lines)}</tbody>",
    )


def _data(op: str, format_: str, threads: int, machine: str = "") -> str:
    return (
        f'data-op="{e(op)}" data-format="{e(format_)}" data-threads="{threads}" '
        f'data-machine="{e(machine)}"'
    )


def _table_details(title: str, table: str) -> str:
    return (
        f'<details class="table" open data-part><summary>{e(title)}</summary><div class="scroll">'
        f"<table>{table}</table></div></details>"
    )


def _op_section(op: str, machines: Sequence[Machine], charts: Sequence[Chart]) -> str:
    several = len(machines) > 1
    about = e(ABOUT.get(op, ""))
    for code in ("a32", "a8"):
        about = about.replace(f"`{code}`", f"<code>{code}</code>")
    parts = [f'<section id="op-{_anchor(op)}" data-part><h2>{e(op)}</h2>']
    if about:
        parts.append(f"<p>{about}</p>")
    parts.append(_best_table(op, machines))
    for kind, title, words in (
        (
            "speed",
            "Speed against size",
            "Dashed in black: the measured limit, the highest that any variant has at that size. Dotted: "
            "where the working set outgrows a measured cache level. Hollow symbols: more than one "
            "thread.",
        ),
        (
            "speedup",
            "How many times as fast as plain loops, the compiler and portable code",
            "Geometric mean over the shapes, with the range; each against the best of that family on "
            "the same shape and threads.",
        ),
        (
            "error",
            "Error beside speed",
            "Error against the exact product of the activations with the dequantized weights: what the "
            "arithmetic adds, without the weights' own rounding. Lower right is better. A format's "
            "name stands at its fastest variant.",
        ),
    ):
        grid = _figures(charts, kind, "wide" if kind == "error" else "", op, several)
        if grid:
            parts.append(
                f'<div data-part><h3>{e(title)}</h3><p class="soft">{e(words)}</p>{grid}</div>'
            )
    if not any(chart.kind == "error" and chart.op == op for chart in charts):
        rows = [row for m in machines for row in summary.timed(m.results.rows) if row.op == op]
        if rows and all(row.verified and not row.counter("mismatches") for row in rows):
            parts.append(
                '<h3>Error beside speed</h3><p class="soft">None to draw: every row here is exact, '
                "bit for bit.</p>"
            )
    parts.append("</section>")
    return "\n".join(parts)


_BEST_TITLES = (
    "format",
    "shape",
    "threads",
    "best variant",
    "speed",
    "of limit",
    "left",
    "x scalar",
    "x autovec",
    "x xsimd",
    "x peers",
    "ahead of",
    "error",
)
_THREADS = 2
_BEST_NUMBERS = (1, 2, 4, 6, 7, 8, 9, 10)


def best_cells(best: Best) -> list[str]:
    """A line of the table of best variants, as text."""
    row, over = best.row, best.standing.over
    percent = summary.share(row)
    runner = (
        f"{best.runner_up.variant} {summary.times_text(best.margin)}" if best.runner_up else DASH
    )
    return [
        row.format,
        summary.shape_text(row),
        str(row.threads),
        row.variant,
        summary.speed_text(row),
        f"{percent:.0f} %" if percent else DASH,
        summary.times_text(100 / percent) if percent else DASH,
        *(summary.times_text(over.get(key)) for key in (*summary.BASELINES, "peer")),
        runner,
        summary.error_text(row),
    ]


def _columns(lines: Sequence[Sequence[str]]) -> list[int]:
    """Columns of the table of best variants that say anything."""
    return [
        index for index in range(len(_BEST_TITLES)) if any(line[index] != DASH for line in lines)
    ]


def _best_table(op: str, machines: Sequence[Machine]) -> str:
    several = len(machines) > 1
    found = [
        (machine, best)
        for machine in machines
        for best in summary.best_variants(machine.results.rows)
        if best.row.op == op
    ]
    columns = _columns([best_cells(best) for _, best in found])
    lines: list[str] = []
    previous = None
    for machine, best in found:
        row = best.row
        cells: list[str] = []
        for index, text in enumerate(best_cells(best)):
            if index not in columns:
                continue
            style = ' class="number"' if index in _BEST_NUMBERS else ""
            content = e(text)
            if index == 3:
                content = f"<b>{content}</b>"
            elif index == 5 and (percent := summary.share(row)):
                over = percent > summary.PERCENT_OF_ERROR
                content = (
                    f'<span class="bar" style="--share:{min(percent, 100):.0f}%"></span>'
                    f"<span{' class=over' if over else ''}>{content}</span>"
                )
            cells.append(f"<td{style}>{content}</td>")
        if several:
            cells.insert(0, f"<td>{e(machine.label)}</td>")
        group = (machine.label, row.format)
        mark = ' class="group"' if previous not in (None, group) else ""
        previous = group
        data = _data(op, row.format, row.threads, machine.label)
        lines.append(f"<tr{mark} {data}>{''.join(cells)}</tr>")
    titles = [_BEST_TITLES[index] for index in columns]
    numbers = [at for at, index in enumerate(columns) if index in _BEST_NUMBERS]
    if several:
        titles.insert(0, "machine")
        numbers = [index + 1 for index in numbers]
    return _table_details(
        f"Best variant per format and shape ({len(lines)})",
        f"{_head(titles, numbers)}<tbody>{''.join(lines)}</tbody>",
    )


def _roofline_section(charts: Sequence[Chart]) -> str:
    several = len({chart.machine for chart in charts if chart.machine}) > 1
    alone = sum(chart.kind == "roofline" for chart in charts) == 1
    grid = _figures(charts, "roofline", "one" if alone else "wide", machine_named=several)
    if not grid:
        return ""
    return (
        '<section id="roofline" data-part><h2>Roofline of the matmuls</h2><p class="soft">Every '
        "matmul row: operations a second against operations per byte that it can't avoid moving. "
        "Slopes are the highest bandwidths that were measured within each cache level and beyond, "
        "flats the arithmetic peaks, of each type of number with the fastest instruction set; all "
        "measured in the same run with as many threads.</p>"
        f"{grid}</section>"
    )


def _skipped_section(machines: Sequence[Machine]) -> str:
    lines = [
        f"<tr><td>{e(machine.label)}</td><td>{e(level)}</td><td class=wrap>{e(why)}</td></tr>"
        for machine in machines
        for level, why in machine.results.refused.items()
    ]
    if not lines:
        content = '<p class="soft">Nothing: every instruction set of this architecture ran.</p>'
    else:
        content = (
            f'<div class="scroll"><table>{_head(("machine", "variants for", "why not"))}'
            f"<tbody>{''.join(lines)}</tbody></table></div>"
        )
    return f'<section id="skipped"><h2>Skipped, and why</h2>{content}</section>'


def _failed_section(machines: Sequence[Machine]) -> str:
    lines = [
        f"<tr><td>{e(machine.label)}</td><td class=wrap>{e(row.name)}</td>"
        f"<td class=wrap>{e(load.printable(row.error, 2000))}</td></tr>"
        for machine in machines
        for row in machine.results.rows
        if row.failed
    ]
    content = (
        f'<div class="scroll"><table>{_head(("machine", "row", "what happened"))}'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        if lines
        else '<p class="soft">Nothing.</p>'
    )
    return f'<section id="failed"><h2>Failed</h2>{content}</section>'


def _checks_section(machines: Sequence[Machine]) -> str:
    lines = [
        f"<tr><td>{e(machine.label)}</td><td>{e(finding.level)}</td>"
        f"<td class=wrap>{e(str(finding).split(': ', 1)[-1])}</td></tr>"
        for machine in machines
        for finding in validate.validate(machine.results)
    ]
    content = (
        f'<div class="scroll"><table>{_head(("machine", "", "finding"))}'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        if lines
        else '<p class="soft">quantbench-validate finds nothing wrong.</p>'
    )
    return f'<section id="checks"><h2>Checks of the file</h2>{content}</section>'


def _context_section(machines: Sequence[Machine]) -> str:
    parts = ['<section id="context"><h2>The machine</h2>']
    for machine in machines:
        results = machine.results
        pairs = []
        for key in sorted(results.context):
            if key in ("caches", "cpu_flags", "limits", "operations", "library_build_type"):
                continue
            if key.startswith("isa_refused_"):
                continue
            pairs.append(f"<dt>{e(key)}</dt><dd>{e(load.printable(results.text(key, DASH)))}</dd>")
        limits = "".join(
            f"<dt>{e(label)}</dt><dd>"
            f"{summary.scaled(rate, 'B/s' if label.startswith('bandwidth') else 'op/s')}</dd>"
            for label, rate in results.limits.items()
        )
        flags = e(load.printable(results.text("cpu_flags", DASH), 20000))
        parts.append(
            f'<div class="machine"><h3>{e(machine.label)}</h3>'
            f'<p class="soft">From {e(load.printable(results.path.name))}; files of this machine '
            f"belong in <code>results/{e(results.machine_id)}/</code>.</p>"
            f"<dl>{''.join(pairs)}</dl>"
            f'<details class="flags"><summary>CPU flags</summary><p>{flags}</p></details>'
            f'<details class="flags"><summary>{len(results.limits)} measured limits</summary>'
            f"<dl>{limits}</dl></details></div>"
        )
    parts.append("</section>")
    return "\n".join(parts)


def _reading_section() -> str:
    return """<section id="reading"><h2>How to read this</h2>
<dl>
<dt>scalar</dt><dd>plain loops, the compiler's vectorisation off</dd>
<dt>autovec…</dt><dd>the same source, left to the compiler, for that instruction set</dd>
<dt>xsimd_…</dt><dd>portable vector code</dd>
<dt>avx2, neon, …</dt><dd>intrinsics</dd>
<dt>peer:…</dt><dd>another project's kernel, timed beside ours</dd>
<dt>time</dt><dd>of the fastest repetition: interruptions only ever add</dd>
<dt>of limit</dt><dd>over 105 % is a measuring error</dd>
<dt>left</dt><dd>how many times as fast the limit is</dd>
<dt>error</dt><dd>exact: bit for bit what the contract says; nmse: normalised mean squared error</dd>
</dl></section>"""


# --- Markdown


def md(text: object) -> str:
    """Text that is harmless in a table of Markdown."""
    clean = html.escape(load.printable(str(text)), quote=False)
    for special in "\\|*_`[]":
        clean = clean.replace(special, "\\" + special)
    return clean


def _md_table(titles: Sequence[str], lines: Iterable[Sequence[object]]) -> list[str]:
    return [
        "| " + " | ".join(titles) + " |",
        "|" + "---|" * len(titles),
        *("| " + " | ".join(md(cell) for cell in line) + " |" for line in lines),
        "",
    ]


def markdown(machines: Sequence[Machine]) -> str:
    """The summary: machines, best variants, what was skipped and what failed."""
    out = ["# quantbench results", ""]
    out += _md_table(
        (
            "machine",
            "instruction sets",
            "caches measured",
            "compiler",
            "date",
            "revision",
            "rows",
            "failed",
        ),
        [
            (
                m.label,
                m.results.text("isa_enabled"),
                m.results.text("caches_measured"),
                m.results.text("compiler"),
                m.results.text("date")[:10],
                m.results.revision[:12],
                len(m.results.rows),
                sum(row.failed for row in m.results.rows),
            )
            for m in machines
        ],
    )
    for machine in machines:
        results = machine.results
        out += [f"## {md(machine.label)}", ""]
        if not results.complete:
            out += ["The run was interrupted: rows are missing.", ""]
        if not results.claims_timing:
            out += ["It makes no claim about time.", ""]
        if peers := summary.peer_versions(results):
            out += [f"Beside other projects' kernels: {md(peers)}.", ""]
        best = summary.best_variants(results.rows)
        if best:
            out += [
                "Best of our variants. *of limit*: share of what the machine was measured to allow; "
                "*left*: how many times as fast that is.",
                "",
            ]
            out += _md_table(
                ("operation", *_BEST_TITLES), ((b.row.op, *best_cells(b)) for b in best)
            )
        if results.refused:
            out += ["Skipped:", ""]
            out += _md_table(("variants for", "why not"), results.refused.items())
        failed = [(row.name, row.error) for row in results.rows if row.failed]
        if failed:
            out += ["Failed:", ""]
            out += _md_table(("row", "what happened"), failed)
        findings = validate.validate(results)
        if findings:
            out += ["Checks:", "", *(f"- {md(finding)}" for finding in findings), ""]
    if len(machines) > 1:
        out += ["## Side by side", "", "The best of ours and its share of the limit.", ""]
        lines = []
        for (op, format_, _, threads), by_machine in side_by_side(machines).items():
            cells = [
                f"{summary.speed_text(b.row)} {b.row.variant} {summary.share(b.row) or 0:.0f} %"
                if (b := by_machine.get(machine.label))
                else DASH
                for machine in machines
            ]
            shape = summary.shape_text(next(iter(by_machine.values())).row)
            lines.append((op, format_, shape, threads, *cells))
        out += _md_table(
            ("operation", "format", "shape", "threads", *(md(m.label) for m in machines)), lines
        )
    return "\n".join(out).rstrip() + "\n"


# --- Index


def index_markdown(root: Path) -> str:
    """A list of every stored file under root, by machine; files that can't be read are named."""
    lines, broken = [], []
    for path in sorted(root.glob("*/????-??-??*.json")):
        where = path.relative_to(root).as_posix()
        try:
            results = load.load(path)
        except load.ResultsError as error:
            broken.append(f"- {md(where)}: {md(error.problem)}")
            continue
        lines.append(
            (
                results.text("cpu_name"),
                results.text("isa_enabled"),
                results.text("compiler"),
                results.text("date")[:10],
                results.revision[:12],
                len(results.rows),
                sum(row.failed for row in results.rows),
                where,
            )
        )
    out = ["# Results", ""]
    out += _md_table(
        ("CPU", "instruction sets", "compiler", "date", "revision", "rows", "failed", "file"), lines
    )
    if broken:
        out += ["Unreadable:", "", *broken, ""]
    return "\n".join(out).rstrip() + "\n"


def _readme(path: Path, files: Sequence[Path], check: bool) -> int:
    from quantbench_results import readme  # which uses this module

    if len(files) > 1:
        raise load.ResultsError(path, "shows one results file, not several")
    if not files and not check:
        raise load.ResultsError(path, "name the results file that it shall show")
    file = files[0] if files else readme.named_file(path)
    same = readme.write(path, load.load(file), check)
    state = "as they are in" if same else "not those of" if check else "written from"
    print(f"{path}: results {state} {file}")
    return 1 if check and not same else 0


def _main(argv: list[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="quantbench-report",
        description="Turns results files into one HTML page that opens offline, and a Markdown "
        "summary.",
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="results files or folders of them (default: the newest under --results)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PREFIX",
        help="writes PREFIX.html and PREFIX.md (default: <results>/report)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=Path("results"),
        metavar="FOLDER",
        help="the folder of results (default: %(default)s)",
    )
    parser.add_argument(
        "--index",
        action="store_true",
        help="only write <results>/index.md, the list of stored files",
    )
    parser.add_argument(
        "--readme",
        type=Path,
        metavar="README.md",
        help="only write the tables of one file between the README's marks",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="with --readme: write nothing, exit status 1 if the tables aren't those of the file "
        "(default: of the file that they name)",
    )
    options = parser.parse_args(argv)
    if options.check and not options.readme:
        parser.error("--check goes with --readme")
    if options.readme:
        return _readme(options.readme, options.files, options.check)
    if options.index:
        path = options.results / "index.md"
        load.write_text(path, index_markdown(options.results))
        print(path)
        return 0
    files = options.files or [load.newest(options.results)]
    machines = label_machines(load.load_many(files))
    prefix = options.output or options.results / "report"
    page, text = html_page(machines), markdown(machines)
    for suffix, content in ((".html", page), (".md", text)):
        path = prefix.with_name(prefix.name + suffix)
        load.write_text(path, content)
        print(path)
    return 0


def main(argv: list[str] | None = None) -> int:
    return guarded("quantbench-report", lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
