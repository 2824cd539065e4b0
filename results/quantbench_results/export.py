# SPDX-License-Identifier: Apache-2.0
"""Hands a results file on to what stores and watches figures: a few per operation, not every row.

quantbench-export --to=googlecpp FILE    for github-action-benchmark (tool: googlecpp)
quantbench-export --to=bencher FILE      Bencher Metric Format, for `bencher run --adapter json`
quantbench-export --to=reframe FILE ...  references per partition, for bench/fleet
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantbench_results import files, load, rules, summary
from quantbench_results.cli import Parser, guarded
from quantbench_results.errors import ResultsError
from quantbench_results.fleet_digest import place_of
from quantbench_results.fleet_tables import column_of
from quantbench_results.rows import Results, Row
from quantbench_results.summary import Best
from quantbench_results.text import printable


@dataclass(frozen=True)
class Figure:
    """A figure of a whole operation and class of sizes, over its formats."""

    name: str
    value: float
    unit: str


def figures(results: Results) -> list[Figure]:
    """Per operation and class of sizes the best variants' rate and share of the limit, one thread:
    geometric means over formats and sizes. ResultsError if the file makes no claim about time."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for best in _best(results):
        place = place_of(best.row, results)
        groups.setdefault(column_of(place), []).append(best.row)
    found = []
    for column, rows in groups.items():
        name = _plain(" ".join(column))
        rates = [rate for row in rows if (rate := summary.speed(row))]
        unit = "Gop/s" if summary.is_arithmetic(rows[0]) else "GB/s"
        found.append(Figure(f"{name}_rate", round(summary.geometric_mean(rates) / 1e9, 4), unit))
        shares = [share for row in rows if (share := summary.share(row))]
        if shares:
            found.append(Figure(f"{name}_share", round(summary.geometric_mean(shares), 2), "%"))
    return found


def _plain(text: str) -> str:
    """Letters, digits and single underscores: "matmul a8 m > 1" -> "matmul_a8_m_above_1"."""
    return re.sub(r"[^A-Za-z0-9]+", "_", text.replace(" > ", " above ").replace(" = ", " ")).strip(
        "_"
    )


def _best(results: Results) -> list[Best]:
    if not results.claims_timing:
        raise ResultsError(results.path, "emulated or smoke results carry no timing to export")
    rows = [row for row in results.rows if row.is_ours and not rules.over_limit(row)]
    found = [best for best in summary.best_variants(rows) if best.row.threads == 1]
    if not found:
        raise ResultsError(results.path, "no row with a time to export")
    return found


def googlecpp(results: Results) -> dict[str, Any]:
    """Google Benchmark's JSON with one entry per operation, format and size: the best variant's time.
    The variant is no part of the name, for a series must go on when another becomes the best."""
    return {
        "context": {
            "date": results.text("date"),
            "host_name": "",
            "executable": "quantbench",
            "num_cpus": results.context.get("num_cpus"),
            "library_build_type": "release",
        },
        "benchmarks": [
            {
                "name": _series(best.row),
                "run_name": _series(best.row),
                "run_type": "iteration",
                "repetitions": 1,
                "repetition_index": 0,
                "threads": best.row.threads,
                "iterations": len(best.row.times_ns),
                "real_time": rules.figure(best.row),
                "cpu_time": rules.figure(best.row),
                "time_unit": "ns",
            }
            for best in _best(results)
        ],
    }


def _series(row: Row) -> str:
    return printable(f"{row.op}/{row.format}/{row.shape}")


def bencher(results: Results) -> dict[str, dict[str, dict[str, float]]]:
    """Bencher Metric Format: per series a latency in ns, with the range of the repetitions, and a
    throughput in operations or bytes a second."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for best in _best(results):
        row = best.row
        measures = {
            "latency": {
                "value": rules.figure(row),
                "lower_value": min(row.times_ns),
                "upper_value": max(row.times_ns),
            }
        }
        if rate := summary.speed(row):
            measures["throughput"] = {"value": rate}
        if share := summary.share(row):
            measures["share-of-limit"] = {"value": share}
        found[_series(row)] = measures
    return found


def references(all_results: Sequence[Results], partition: str, below: float) -> Mapping[str, Any]:
    """ReFrame's references: the median of several runs, and how far below it is a failure."""
    values: dict[tuple[str, str], list[float]] = {}
    for results in all_results:
        for figure in figures(results):
            values.setdefault((figure.name, figure.unit), []).append(figure.value)
    return {
        partition: {
            name: [statistics.median(found), -below, None, unit]
            for (name, unit), found in values.items()
        }
    }


def _parser() -> Parser:
    parser = Parser(
        prog="quantbench-export",
        description="Hands results on to what stores and watches figures, one series per operation, "
        "format and size: the best of our variants.",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--to", required=True, choices=("googlecpp", "bencher", "reframe"))
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: standard output")
    parser.add_argument(
        "--partition",
        default="*",
        metavar="SYSTEM:PARTITION",
        help="of --to=reframe: whose references these are (default: every one's)",
    )
    parser.add_argument(
        "--below",
        type=float,
        default=0.15,
        metavar="SHARE",
        help="of --to=reframe: so far below the reference is a failure (default: %(default)s)",
    )
    return parser


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.to != "reframe" and len(options.files) > 1:
        parser.error(f"--to={options.to} takes one file")
    if not 0 < options.below < 1:
        parser.error("--below is a share: between 0 and 1")
    found = [load.load(path) for path in options.files]
    data: Any
    if options.to == "googlecpp":
        data = googlecpp(found[0])
    elif options.to == "bencher":
        data = bencher(found[0])
    else:
        data = references(found, options.partition, options.below)
    text = json.dumps(data, indent=1, allow_nan=False) + "\n"
    if options.output:
        files.write_text(options.output, text)
        print(printable(str(options.output)))
    else:
        print(text, end="")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return guarded("quantbench-export", lambda: _main(argv))


if __name__ == "__main__":
    sys.exit(main())
