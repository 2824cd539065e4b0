# SPDX-License-Identifier: Apache-2.0
"""The tables that the page and the Markdown share: files, best variants, machines side by side."""

from __future__ import annotations

import re
from collections.abc import Sequence

from quantbench_results import state, summary
from quantbench_results.figures.base import Machine
from quantbench_results.rows import Row
from quantbench_results.summary import Best

DASH = "\N{EN DASH}"
FILE_TITLES = (
    "machine",
    "instruction sets",
    "caches measured",
    "compiler",
    "date",
    "revision",
    "rows",
    "failed",
    "run",
)
BEST_TITLES = (
    "format",
    "shape",
    "threads",
    "best variant",
    "speed",
    "spread",
    "of limit",
    "left",
    "x scalar",
    "x autovec",
    "x xsimd",
    "x peers",
    "ahead of",
    "error",
)
VARIANT, SHARE = BEST_TITLES.index("best variant"), BEST_TITLES.index("of limit")
WRAPPED = (BEST_TITLES.index("ahead of"), BEST_TITLES.index("error"))
"""Columns whose words may take several lines."""
BEST_NUMBERS = (1, 2, 4, 5, 7, 8, 9, 10, 11)


def file_cells(machine: Machine) -> list[str]:
    """A line of the table of files, as text."""
    results = machine.results
    return [
        machine.label,
        results.text("isa_enabled"),
        results.text("caches_measured"),
        results.text("compiler"),
        results.text("date")[:10],
        results.revision[:12],
        str(len(results.rows)),
        str(sum(row.failed for row in results.rows)),
        state.text(results),
    ]


def best_cells(best: Best) -> list[str]:
    """A line of the table of best variants, as text."""
    row, over = best.row, best.standing.over
    percent = summary.share(row)
    behind = (
        [f"{best.runner_up.variant} {summary.times_text(best.margin)}"] if best.runner_up else []
    )
    if best.ties:
        behind.insert(0, "tie: " + ", ".join(other.variant for other in best.ties))
    return [
        row.format,
        summary.shape_text(row),
        str(row.threads),
        row.variant,
        summary.speed_text(row),
        summary.spread_text(row),
        f"{percent:.0f} %" if percent else DASH,
        summary.times_text(100 / percent) if percent else DASH,
        *(summary.times_text(over.get(key)) for key in (*summary.BASELINES, "peer")),
        "; ".join(behind) or DASH,
        summary.error_text(row),
    ]


LOADED_TITLES = ("loaded kernel", "speed", "spread", "of limit", "x own", "our best")
LOADED_NUMBERS = (1, 2, 3, 4)


def loaded_cells(row: Row) -> list[str]:
    """A line of the table of loaded kernels, as text: beside the best of ours on the same row."""
    percent = summary.share(row)
    own = re.search(r"best own: ([^\s;]+)", row.label)
    return [
        row.name,
        summary.speed_text(row),
        summary.spread_text(row),
        f"{percent:.0f} %" if percent else DASH,
        summary.times_text(row.counter("vs_best_own")),
        own[1] if own else DASH,
    ]


def columns_of(lines: Sequence[Sequence[str]]) -> list[int]:
    """Columns of the table of best variants that say anything."""
    return [
        index for index in range(len(BEST_TITLES)) if any(line[index] != DASH for line in lines)
    ]


def side_by_side(machines: Sequence[Machine]) -> dict[tuple[str, str, str, int], dict[str, Best]]:
    """Per key the best of ours on every machine that has it; only keys that two machines share."""
    found: dict[tuple[str, str, str, int], dict[str, Best]] = {}
    for machine in machines:
        for best in summary.best_variants(machine.results.rows):
            found.setdefault(best.row.key, {})[machine.label] = best
    return {key: by_machine for key, by_machine in found.items() if len(by_machine) > 1}
