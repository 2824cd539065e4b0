# SPDX-License-Identifier: Apache-2.0
"""The one statistic and the one rule for the best variant (docs/results-rules.md).

A row's figure is the median of its repetitions. Its spread is half of their interquartile range, as
a share of the median, and at least 1 %. Two rows tie if their medians differ, as a share of the
smaller one, by less than their spreads together. The best variant is the one of the smallest median; what
ties with it is shown as a tie. A row is over its limit if at least half of its repetitions are marked.
Report, choice, README, picture and validation all ask here; bench/figure.h is the same in C++.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import TypeVar

from quantbench_results.rows import Row

LEAST_SPREAD = 0.01
"""No timer and no placement repeats better than this: closer repetitions are luck."""

PERCENT_OF_ERROR = 102
"""Beyond this share of the measured limit a row is a measuring error. In C++ kPercentOfError."""

Key = TypeVar("Key")


def figure(row: Row) -> float:
    """Nanoseconds of a call: the median of the repetitions."""
    return statistics.median(row.times_ns) if row.times_ns else math.nan


def spread(row: Row) -> float:
    """How far repetitions lie from the figure, as a share of it: 0.02 is +-2 %."""
    if not row.times_ns:
        return math.nan
    if len(row.times_ns) == 1:
        return LEAST_SPREAD
    low, _, high = statistics.quantiles(row.times_ns, n=4, method="inclusive")
    return max((high - low) / 2 / figure(row), LEAST_SPREAD)


def tied(left: Row, right: Row) -> bool:
    """Whether the two can't be told apart: the medians differ by less than both spreads."""
    a, b = figure(left), figure(right)
    return abs(a - b) / min(a, b) < spread(left) + spread(right)


def ranked(rows: Iterable[Row]) -> list[Row]:
    """The rows with a time, the best first."""
    return sorted((row for row in rows if row.times_ns), key=figure)


def best(rows: Iterable[Row]) -> Row | None:
    """The row of the smallest median."""
    return min((row for row in rows if row.times_ns), key=figure, default=None)


def ties_of_best(ordered: Sequence[Row]) -> list[Row]:
    """Of rows with the best first: the others that tie with it."""
    return [row for row in ordered[1:] if tied(ordered[0], row)]


def over_limit(row: Row) -> bool:
    """Whether the row is faster than its limit by more than measuring explains: as its repetitions
    are marked, or in files without marks by the median of their shares."""
    marks = row.counters.get("over_limit")
    if marks:
        return 2 * sum(mark > 0 for mark in marks) >= len(marks)
    return (row.counter("roof_pct") or 0) > PERCENT_OF_ERROR


def over_peer(row: Row) -> tuple[float, float, float] | None:
    """How many times as fast as its best peer the row was in turns with it, and the 95 % interval.
    None without; files from before both sides were measured alike have no interval."""
    found = [row.counter(key) for key in ("vs_best_peer", "vs_best_peer_low", "vs_best_peer_high")]
    if any(value is None for value in found):
        return None
    ratio, low, high = (value for value in found if value is not None)
    return ratio, low, high


def tied_with_peer(row: Row) -> bool:
    """Whether the turns can't tell the row from its best peer: the interval holds 1."""
    found = over_peer(row)
    return found is not None and found[1] <= 1 <= found[2]
