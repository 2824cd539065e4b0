# SPDX-License-Identifier: Apache-2.0
"""What each family of variants buys over plain loops, and where the measured limit lies."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from quantbench_results import summary
from quantbench_results.figures.base import (
    LIMIT,
    Chart,
    Machine,
    add_legend,
    categories,
    empty_figure,
    meta,
    nice_decades,
    split,
)
from quantbench_results.summary import Standing
from quantbench_results.text import escape

Group = list[Standing]
"""The variants of one key."""

FAMILY_NAMES = {
    "autovec": "compiler",
    "xsimd": "portable (xsimd)",
    "hand": "intrinsics",
    "peer": "best peer",
}


def families_chart(machine: Machine, standings: Sequence[Standing]) -> Chart | None:
    """Per operation how many times as fast as plain loops the best of each family is, and where the
    limit lies: geometric means over formats and shapes, one thread."""
    groups = _by_operation(standings)
    if not groups:
        return None
    names = [escape(name) for name in groups]
    figure = empty_figure(
        "times as fast as plain loops",
        "",
        x={"type": "log"},
        y=categories(names),
        height=130 + 34 * len(names),
    )
    figure.add_vline(x=1, line={"width": 1.5}, name="one")
    shown: set[str] = set()
    means: list[float] = [1.0]
    for name, found in groups.items():
        for family, words, values in _speedups(found):
            means.append(summary.geometric_mean(values))
            _add_mean(figure, machine, found[0][0].row.op, name, family, words, values, shown)
    figure.update_xaxes(range=nice_decades(means))
    add_legend(figure)
    title = "What vectorising buys, and what is left"
    return Chart("families", title, "", "", figure, [], machine.label)


def _by_operation(standings: Sequence[Standing]) -> dict[str, list[Group]]:
    """Per operation, of products with one row and with more apart, the groups that have a scalar."""
    groups: dict[str, list[Group]] = {}
    alone = [s for s in standings if s.row.threads == 1 and s.over.get("scalar")]
    for group in split(alone, "op", "format", "shape", "threads").values():
        row = group[0].row
        name = row.op
        if summary.is_arithmetic(row):
            name += " m = 1" if row.dims.get("m") == 1 else " m > 1"
        groups.setdefault(name, []).append(group)
    return groups


def _speedups(groups: Sequence[Group]) -> list[tuple[str, str, list[float]]]:
    """Per family, and for the limit, its name in words and its speed-up in every group that has it."""
    found = []
    for family, words in FAMILY_NAMES.items():
        of_family = [
            [s.over["scalar"] for s in group if summary.family(s.row.variant) == family]
            for group in groups
        ]
        found.append((family, words, [max(values) for values in of_family if values]))
    limits = [
        [s.over["scalar"] * 100 / share for s in group if (share := summary.share(s.row))]
        for group in groups
    ]
    found.append((LIMIT, "measured limit", [max(values) for values in limits if values]))
    return [entry for entry in found if entry[2]]


def _add_mean(
    figure: go.Figure,
    machine: Machine,
    op: str,
    name: str,
    family: str,
    words: str,
    values: Sequence[float],
    shown: set[str],
) -> None:
    mean = summary.geometric_mean(values)
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
        meta=meta("row", op, "", "", machine, 1, family=family),
    )
    shown.add(family)
