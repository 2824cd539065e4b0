# SPDX-License-Identifier: Apache-2.0
"""Charts of the same thing on several machines share their axes, so that places can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quantbench_results.figures.base import Chart


def share_axes(charts: Sequence[Chart]) -> None:
    """Gives charts of one kind, operation and title, which differ in their machine, the same ranges
    (of axes that have one) and the same lines of names."""
    groups: dict[tuple[str, str, str], list[Chart]] = {}
    for chart in charts:
        groups.setdefault((chart.kind, chart.op, chart.title), []).append(chart)
    for group in groups.values():
        if len({chart.machine for chart in group}) > 1:
            for name in ("xaxis", "yaxis"):
                _share([chart.figure.layout[name] for chart in group])
            _same_height(group)


def _share(axes: Sequence[Any]) -> None:
    if any(axis.range is None or axis.type != axes[0].type for axis in axes):
        return
    if axes[0].type == "category":
        if any(axis.categoryarray is None for axis in axes):
            return
        # The first name is on top, and so last in each array.
        names = list(dict.fromkeys(n for axis in axes for n in reversed(axis.categoryarray)))
        for axis in axes:
            axis.categoryarray = names[::-1]
            axis.range = [-0.6, len(names) - 0.4]
        return
    low, high = min(axis.range[0] for axis in axes), max(axis.range[1] for axis in axes)
    for axis in axes:
        axis.range = [low, high]


def _same_height(group: Sequence[Chart]) -> None:
    highest = max(int(chart.figure.layout.height or 0) for chart in group)
    for chart in group:
        chart.figure.layout.height = highest or None
