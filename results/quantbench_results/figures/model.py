# SPDX-License-Identifier: Apache-2.0
"""The picture of one model: speed against error of each format and of mixed plans, from the file that
quantbench-formats writes."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantbench_results import summary
from quantbench_results.errors import ResultsError
from quantbench_results.figures.base import Chart, Machine
from quantbench_results.figures.front import PLANS, Point, figure_of
from quantbench_results.load import read_json
from quantbench_results.text import escape, printable

VERSION = 1


def model_charts(path: Path, machine: Machine) -> list[Chart]:
    """A chart for each number of rows of activations that the file has times of. ResultsError if it is
    no file of quantbench-formats, or has no times."""
    data = read_json(path)
    if not isinstance(data, dict) or data.get("quantbench_model") != VERSION:
        raise ResultsError(path, "no file of quantbench-formats")
    try:
        charts = [
            chart for m in data["m"] if (chart := _chart(data, int(m), path, machine))
        ] if data.get("complete") else []  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise ResultsError(path, f"not whole: {type(error).__name__}: {error}") from None
    if not charts:
        raise ResultsError(path, "has no times of the model's products; it is not complete")
    return charts


def _chart(data: Mapping[str, Any], m: int, path: Path, machine: Machine) -> Chart | None:
    weights = sum(record["n"] * record["k"] * record.get("count", 1) for record in data["tensors"])
    points = [_single(total, m) for total in data["totals"] if str(m) in total["ns"]]
    if len(points) < 2:
        return None
    if m == data["m"][0]:  # what plans are made for
        points += [_plan(plan, m, weights) for plan in data["plans"]]
    figure = figure_of(points, "tokens a second through the model's matrices", machine, "matmul",
                       int(data["threads"]))  # fmt: skip
    name = printable(path.name.removesuffix(".json"), 60)
    title = f"Which format for {name}: " + ("one token" if m == 1 else f"a prompt of {m}")
    formats = [point.format for point in points if point.format]
    return Chart("model", title, "", "", figure, formats, machine.label)


def _single(total: Mapping[str, Any], m: int) -> Point:
    choice, ns = printable(str(total["choice"])), float(total["ns"][str(m)])
    words = (
        f"<b>{escape(choice)}</b><br>{summary.time_text(ns)} for all matrices<br>"
        f"error of the outputs {total['error']:.1e}, of the weights {total['nmse']:.1e}<br>"
        f"{total['bits']:.4g} bits a weight, {total['nbytes'] / 1e6:.4g} MB"
    )
    series = choice.partition(".")[0]
    series = series if series in ("a8", "a32", "abf16") else "a32"
    return Point(choice, series, 1e9 * m / ns, float(total["error"]), float(total["bits"]), words, choice)


def _plan(plan: Mapping[str, Any], m: int, weights: int) -> Point:
    counts = plan.get("counts") or collections.Counter(plan["choices"].values())
    parts = [f"{count} {escape(printable(choice))}" for choice, count in sorted(counts.items(), key=lambda c: -c[1])]
    bits = 8 * plan["nbytes"] / weights
    words = (
        f"<b>mixed plan</b><br>{'<br>'.join(parts[:8])}<br>{summary.time_text(plan['ns'])} for all "
        f"matrices<br>error of the outputs {plan['error']:.1e}<br>{bits:.4g} bits a weight"
    )
    return Point("mixed", PLANS, 1e9 * m / plan["ns"], float(plan["error"]), bits, words)
