# SPDX-License-Identifier: Apache-2.0
"""The page's sections: the answers, the overview, and one per operation."""

from __future__ import annotations

from collections.abc import Sequence

from quantbench_results import answers, formats, layer, rules, shown, summary
from quantbench_results.answers import Answer
from quantbench_results.figures.base import Chart, Machine
from quantbench_results.figures.styles import variant_order
from quantbench_results.page_parts import anchor, counted, data_of, folded, grid_of, head, legend, table_details
from quantbench_results.rows import Row
from quantbench_results.summary import Best
from quantbench_results.tables import (
    BEST_NUMBERS,
    BEST_TITLES,
    DASH,
    FILE_TITLES,
    SHARE,
    VARIANT,
    WRAPPED,
    best_cells,
    columns_of,
    file_cells,
    side_by_side,
)
from quantbench_results.text import attribute

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


def answers_section(machines: Sequence[Machine]) -> str:
    """What to use on each machine, before any chart."""
    parts = []
    for machine in machines:
        found = answers.answers(machine.results)
        if not found:
            continue
        name = f"<h3>{attribute(machine.label)}</h3>" if len(machines) > 1 else ""
        cards = "".join(map(_card, found))
        parts.append(
            f'{name}<div class="answers">{cards}</div><p class="soft">Measured: '
            f"{attribute(answers.measured(machine.results))}. Within an error of "
            f"{answers.percent(layer.DEFAULT_ERROR)} of the outputs' energy, {answers.percent(answers.EXACT_ERROR)} "
            "when exactness matters, quantizing normal random weights included.</p>"
        )
    if not parts:
        return ""
    words = "On this CPU use" if len(machines) == 1 else "What to use"
    return f'<section id="answers"><h2>{words}</h2>{"".join(parts)}</section>'


def _card(answer: Answer) -> str:
    parts = [f'<div class="answer"><h3>{attribute(answer.question)}</h3>']
    if answer.none:
        parts.append(f"<p>{attribute(answer.none)}</p>")
    for choice in answer.choices:
        purpose = f' <span class="soft">for {attribute(choice.purpose)}</span>' if len(answer.choices) > 1 else ""
        facts = choice.facts if len(answer.choices) == 1 else choice.facts[:3]
        items = "".join(f"<li>{attribute(fact)}</li>" for fact in facts)
        parts.append(
            f"<p><b>{attribute(choice.weights)}</b>{purpose}<br>"
            f"{attribute(choice.arithmetic)}</p><ul>{items}</ul>"
        )
    return "".join(parts) + "</div>"


def front_section(machines: Sequence[Machine], charts: Sequence[Chart]) -> str:
    """The first charts: which format, for models and for the file's own shapes."""
    several = len(machines) > 1
    models = grid_of(charts, "model", "wide", machine_named=several)
    parts = []
    if models:
        parts.append(
            "<h3>Which format for the model</h3><p>All its matrices one after another, weights cold: "
            "how fast against the error of their outputs. Lower right is better. A star is a mixed plan, a format for each "
            f"matrix.</p><div data-part>{models}</div>"
        )
    first, others = [], []
    for machine in machines:
        own = [c for c in charts if c.kind == "front" and c.machine == machine.label]
        first += own if len(own) < 3 else [own[0], own[-1]]
        others += [] if len(own) < 3 else own[1:-1]
    if first:
        grid = grid_of(charts, "front", "wide", machine_named=several, only=first)
        parts.append(
            "<h3>Which format</h3><p>How long a product takes against all that it loses, weights' error "
            "included; larger points take more bits a weight. Lower left is better. The line is the "
            "front: what lies on it loses less than everything faster.</p>"
            f"<div data-part>{grid}</div>"
        )
    if others:
        grid = grid_of(charts, "front", "wide", machine_named=several, only=others)
        parts.append(
            f'<details class="table" data-part><summary>Other shapes ({len(others)})</summary>{grid}</details>'
        )
    return f'<section id="front">{"".join(parts)}</section>' if parts else ""


def overview_section(machines: Sequence[Machine], charts: Sequence[Chart]) -> str:
    several = len(machines) > 1
    drawn = grid_of(charts, "overview", "wide" if several else "one", machine_named=several)
    parts = []
    if several:
        parts.append(_index_table(machines))
    families = grid_of(charts, "families", "wide" if several else "one", machine_named=several)
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
        side = grid_of(charts, "machines", "")
        if side:
            used = variant_order(
                row.variant for m in machines for row in summary.timed(m.results.rows) if not row.is_peer
            )
            parts.append(
                f"<div data-part><h3>Machines side by side: the best of ours</h3>{legend(used)}{side}"
            )
            parts.append(_side_by_side(machines) + "</div>")
    note = "what vectorising buys, and how near to the limit the best variants are"
    return folded("overview", "Overview", "\n".join(parts), note)


def _index_table(machines: Sequence[Machine]) -> str:
    lines = (_cells(file_cells(machine)) for machine in machines)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table>{head(FILE_TITLES)}<tbody>{body}</tbody></table></div>'


def _cells(texts: Sequence[str]) -> str:
    return "".join(f"<td>{attribute(text)}</td>" for text in texts)


def _side_by_side(machines: Sequence[Machine]) -> str:
    table = side_by_side(machines)
    titles = ["operation", "format", "shape", "threads", *(machine.label for machine in machines)]
    lines = []
    for (op, format_, _, threads), by_machine in table.items():
        least = min(rules.figure(best.row) for best in by_machine.values())
        found = [by_machine.get(machine.label) for machine in machines]
        cells = [
            _machine_cell(best, bool(best) and rules.figure(best.row) == least) for best in found
        ]
        shape = summary.shape_text(next(iter(by_machine.values())).row)
        lines.append(
            f"<tr {data_of(op, format_, threads)}>{_cells([op, format_, shape, str(threads)])}"
            f"{''.join(cells)}</tr>"
        )
    return table_details(
        f"Best variant and share of its limit on each machine ({len(lines)} shapes)",
        f"{head(titles)}<tbody>{''.join(lines)}</tbody>",
    )


def _machine_cell(best: Best | None, bold: bool) -> str:
    if best is None:
        return f"<td>{DASH}</td>"
    percent = summary.share(best.row)
    tail = f", {percent:.0f} %" if percent else ""
    speed = attribute(summary.speed_text(best.row))
    return (
        f"<td>{f'<b>{speed}</b>' if bold else speed} "
        f'<span class="soft">{attribute(best.row.variant)}{tail}</span></td>'
    )


_CHART_WORDS = (
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
)


def formats_section(machines: Sequence[Machine]) -> str:
    """The weight formats side by side, per machine that has products."""
    parts = []
    for machine in machines:
        results = machine.results
        found = formats.of(results)
        columns = formats.shapes(found)
        if not columns:
            continue
        peers = shown.Peers(results)
        lines = [formats.cells(format_, peers, columns) for format_ in found]
        body = "".join(f"<tr>{_cells(line)}</tr>" for line in lines)
        parts.append(
            (f"<h3>{attribute(machine.label)}</h3>" if len(machines) > 1 else "")
            + f'<div class="scroll"><table>{head(formats.titles(columns))}<tbody>{body}</tbody></table></div>'
        )
    if not parts:
        return ""
    about = f'<p class="soft">{attribute(formats.ABOUT)}</p>'
    note = "bits, error, rates of quantizing and of products, a line per weight format"
    return folded("formats", "Formats", about + "".join(parts), note)


def op_section(
    op: str,
    machines: Sequence[Machine],
    charts: Sequence[Chart],
    best: Sequence[tuple[Machine, Best]],
) -> str:
    """An operation: what it is, its best variants, its charts."""
    several = len(machines) > 1
    about = attribute(ABOUT.get(op, ""))
    for code in ("a32", "a8"):
        about = about.replace(f"`{code}`", f"<code>{code}</code>")
    rows = [row for m in machines for row in summary.timed(m.results.rows) if row.op == op]
    parts = [f"<p>{about}</p>" if about else "", _best_table(best, several)]
    key = legend(variant_order(row.variant for row in rows))
    for kind, title, words in _CHART_WORDS:
        grid = grid_of(charts, kind, "", op, several)
        if grid:
            parts.append(
                f'<details class="table" data-part{" open" if kind == "speed" else ""}>'
                f'<summary>{attribute(title)}</summary><p class="soft">{attribute(words)}</p>'
                f"{key}{grid}</details>"
            )
    if rows and all(row.verified and not row.counter("mismatches") for row in rows) and not any(
        row.counter("nmse") for row in rows
    ):
        parts.append('<p class="soft">Every row here is exact, bit for bit.</p>')
    return folded(f"op-{anchor(op)}", op, "\n".join(parts), _op_note(rows), part=True)


def _op_note(rows: Sequence[Row]) -> str:
    """How much there is of an operation, and the best share of the limit that ours reach."""
    count = len({row.format for row in rows})
    shares = [share for row in rows if row.is_ours and (share := summary.share(row))]
    text = f"{counted(count, 'format')}, {counted(len(rows), 'row')}"
    return text + (f"; up to {min(max(shares), 100):.0f} % of the limit" if shares else "")


def best_by_operation(machines: Sequence[Machine]) -> dict[str, list[tuple[Machine, Best]]]:
    """Per operation the best variants of every file."""
    found: dict[str, list[tuple[Machine, Best]]] = {}
    for machine in machines:
        for best in summary.best_variants(machine.results.rows):
            found.setdefault(best.row.op, []).append((machine, best))
    return found


def _best_table(found: Sequence[tuple[Machine, Best]], several: bool) -> str:
    columns = columns_of([best_cells(best) for _, best in found])
    lines: list[str] = []
    previous = None
    for machine, best in found:
        row = best.row
        cells = [_best_cell(best, index, text) for index, text in enumerate(best_cells(best))]
        shown = [cells[index] for index in columns]
        if several:
            shown.insert(0, f"<td>{attribute(machine.label)}</td>")
        group = (machine.label, row.format)
        mark = ' class="group"' if previous not in (None, group) else ""
        previous = group
        data = data_of(row.op, row.format, row.threads, machine.label)
        lines.append(f"<tr{mark} {data}>{''.join(shown)}</tr>")
    titles = [BEST_TITLES[index] for index in columns]
    numbers = [at for at, index in enumerate(columns) if index in BEST_NUMBERS]
    if several:
        titles.insert(0, "machine")
        numbers = [index + 1 for index in numbers]
    return table_details(
        f"Best variant per format and shape ({len(lines)})",
        f"{head(titles, numbers)}<tbody>{''.join(lines)}</tbody>",
    )


def _best_cell(best: Best, index: int, text: str) -> str:
    """A cell of the table of best variants: the variant bold, the share of the limit as a bar."""
    content = attribute(text)
    percent = summary.share(best.row)
    if index == VARIANT:
        content = f"<b>{content}</b>"
    elif index in WRAPPED:
        content = _in_parts(text)
    elif index == SHARE and percent:
        over = rules.over_limit(best.row)
        content = (
            f'<span class="bar" style="--share:{min(percent, 100):.0f}%"></span>'
            f"<span{' class=over' if over else ''}>{content}</span>"
        )
    style = ' class="number"' if index in BEST_NUMBERS else ' class="wraps"' if index in WRAPPED else ""
    return f"<td{style}>{content}</td>"


def _in_parts(text: str) -> str:
    """Words that break at commas and semicolons alone."""
    parts = text.replace("; ", ";|").replace(", ", ",|").split("|")
    return " ".join(f'<span class="whole">{attribute(part)}</span>' for part in parts)


def roofline_section(charts: Sequence[Chart]) -> str:
    several = len({chart.machine for chart in charts if chart.machine}) > 1
    alone = sum(chart.kind == "roofline" for chart in charts) == 1
    grid = grid_of(charts, "roofline", "one" if alone else "wide", machine_named=several)
    if not grid:
        return ""
    used = variant_order(
        t.meta["variant"] for c in charts if c.kind == "roofline" for t in c.figure.data
        if t.meta["role"] == "row"
    )  # fmt: skip
    content = (
        '<p class="soft">Every matmul row: operations a second against operations per byte that it can\'t '
        "avoid moving. Slopes are the highest bandwidths that were measured within each cache level and "
        "beyond, flats the arithmetic peaks, of each type of number with the fastest instruction set; "
        f"all measured in the same run with as many threads.</p>{legend(used)}{grid}"
    )
    note = "every product under the bandwidths and peaks that were measured"
    return folded("roofline", "Roofline of the matmuls", content, note, part=True)
