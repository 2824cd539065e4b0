# SPDX-License-Identifier: Apache-2.0
"""Files of the report and their labels, and the charts that are drawn of them."""

from __future__ import annotations

from collections.abc import Sequence

from quantbench_results import summary
from quantbench_results.errors import ResultsError
from quantbench_results.figures.base import Chart, Machine
from quantbench_results.figures.families import families_chart
from quantbench_results.figures.front import front_charts
from quantbench_results.figures.machines import machines_charts
from quantbench_results.figures.overview import overview_chart
from quantbench_results.figures.roofline import roofline_charts
from quantbench_results.figures.shared import share_axes
from quantbench_results.figures.speed import speed_charts, speedup_charts
from quantbench_results.rows import Results
from quantbench_results.store import machine_id


def label_machines(files: Sequence[Results]) -> list[Machine]:
    """A label for each file: the CPU, and what else tells it from the others."""
    names = [results.text("cpu_name", "unknown CPU")[:60] for results in files]
    ids = [machine_id(results) for results in files]
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


MOST_FORMATS = 600
"""Operations times formats that a page can hold: each has some charts."""


def check_size(files: Sequence[Results]) -> None:
    """ResultsError for a file of more operations and formats than a page can hold."""
    for results in files:
        count = len({(row.op, row.format) for row in results.rows})
        if count > MOST_FORMATS:
            raise ResultsError(
                results.path,
                f"{count} operations and formats: more than {MOST_FORMATS} are not drawn",
            )


def charts_of(machines: Sequence[Machine]) -> list[Chart]:
    """Every chart of the report, in the order of the page."""
    charts: list[Chart] = []
    if len(machines) > 1:
        charts += machines_charts(machines)
    for machine in machines:
        rows = summary.standings(machine.results.rows)
        charts += front_charts(machine, rows)
        wholes = (families_chart(machine, rows), overview_chart(machine, rows))
        charts += [chart for chart in wholes if chart]
        of_op: dict[str, list[summary.Standing]] = {}
        for standing in rows:
            of_op.setdefault(standing.row.op, []).append(standing)
        for op, found in of_op.items():
            charts += speed_charts(machine, op, found)
            charts += speedup_charts(machine, op, found)
        charts += roofline_charts(machine, rows)
    share_axes(charts)
    return charts
