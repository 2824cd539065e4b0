# SPDX-License-Identifier: Apache-2.0
"""The one statistic and the one rule for the best variant (docs/results-rules.md).

A row's figure is the median of its repetitions. Its spread is half of their interquartile range, as
a share of the median, and at least 1 %. Two rows tie if their medians differ, as a share of the
smaller one, by less than their spreads together. The best variant is the one of the smallest median; what
ties with it is shown as a tie. Report, choice, README and picture all ask here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import TypeVar

from quantbench_results.rows import Row

LEAST_SPREAD = 0.01
"""No timer and no placement repeats better than this: closer repetitions are luck."""

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
