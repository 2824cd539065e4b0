# SPDX-License-Identifier: Apache-2.0
"""The report's summary in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quantbench_results import dispatch, summary, validate
from quantbench_results.figures.base import Machine
from quantbench_results.rows import Results
from quantbench_results.tables import (
    BEST_TITLES,
    DASH,
    FILE_TITLES,
    LOADED_TITLES,
    best_cells,
    file_cells,
    loaded_cells,
    side_by_side,
)
from quantbench_results.text import md


def md_table(titles: Sequence[str], lines: Iterable[Sequence[object]]) -> list[str]:
    """A table's lines, its cells harmless text, and an empty line."""
    return [
        "| " + " | ".join(titles) + " |",
        "|" + "---|" * len(titles),
        *("| " + " | ".join(md(cell) for cell in line) + " |" for line in lines),
        "",
    ]


def markdown(machines: Sequence[Machine]) -> str:
    """The summary: machines, best variants, what was skipped and what failed."""
    out = ["# quantbench results", ""]
    out += md_table(FILE_TITLES, [file_cells(machine) for machine in machines])
    for machine in machines:
        out += _file_part(machine)
    if len(machines) > 1:
        out += _side_by_side(machines)
    return "\n".join(out).rstrip() + "\n"


def _file_part(machine: Machine) -> list[str]:
    results = machine.results
    out = [f"## {md(machine.label)}", ""]
    if not results.complete:
        out += [_interrupted(results), ""]
    if not results.claims_timing:
        out += ["It makes no claim about time.", ""]
    if peers := summary.peer_versions(results):
        out += [f"Beside other projects' kernels: {md(peers)}.", ""]
    best = summary.best_variants(results.rows)
    if best:
        out += [
            "Best of our variants by the median of the repetitions. *spread*: half of what lies "
            "between the quartiles of the repetitions; *of limit*: share of what the machine was measured "
            "to allow; *left*: how many times as fast that is; *tie*: not told apart.",
            "",
        ]
        out += md_table(("operation", *BEST_TITLES), ((b.row.op, *best_cells(b)) for b in best))
    if loaded := summary.loaded(results):
        out += ["Loaded kernels, beside the best of ours:", ""]
        out += md_table(LOADED_TITLES, (loaded_cells(row) for row in loaded))
    if results.refused:
        out += ["Skipped:", ""]
        out += md_table(("variants for", "why not"), results.refused.items())
    failed = [(row.name, row.error) for row in results.rows if row.failed]
    if failed:
        out += ["Failed:", ""]
        out += md_table(("row", "what happened"), failed)
    findings = validate.validate(results)
    if findings:
        out += ["Checks:", "", *(f"- {md(finding)}" for finding in findings), ""]
    return out


def _interrupted(results: Results) -> str:
    names = list(dict.fromkeys(f"{row.op} {row.format}" for row in dispatch.unmeasured(results)))
    text = "The run was interrupted: rows are missing."
    if names:
        shown = ", ".join(md(name) for name in names[:8]) + (", ..." if len(names) > 8 else "")
        text += f" Without their dispatched variant: {shown}."
    return text


def _side_by_side(machines: Sequence[Machine]) -> list[str]:
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
    titles = ("operation", "format", "shape", "threads", *(md(m.label) for m in machines))
    return [
        "## Side by side",
        "",
        "The best of ours and its share of the limit.",
        "",
        *md_table(titles, lines),
    ]
