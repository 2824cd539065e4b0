# SPDX-License-Identifier: Apache-2.0
"""Which variant the suite dispatches to, per operation, format and class of rows, and what an
interrupted run lacks.

A file names them in its context ("dispatched"), for products per class of rows ("row_classes"). Older
files don't: there it is the hand-written variant that the suite registers, and so writes, last.
"""

from __future__ import annotations

from collections.abc import Iterable

from quantbench_results import summary
from quantbench_results.errors import ResultsError
from quantbench_results.rows import Results, Row

Key = tuple[str, str, str]
"""An operation, a format and, for products, a class of rows."""


def key(results: Results, row: Row) -> Key:
    """What rows share that are dispatched alike."""
    return row.op, row.format, results.row_class(row)


def dispatched(results: Results, rows: Iterable[Row] | None = None) -> dict[Key, str]:
    """The variant dispatched to per key of these rows (default: all of the file). Of a file that names
    them nothing is guessed: what it does not name, such as packing, is not dispatched."""
    named = results.dispatched
    found: dict[Key, str] = {}
    for row in results.rows if rows is None else rows:
        op, format_, rows_ = key(results, row)
        if told := named.get((f"{op}/{format_}", rows_)):
            found[op, format_, rows_] = told
        elif not named and summary.family(row.variant) == "hand":
            found[op, format_, rows_] = row.variant
    return found


def unmeasured(results: Results) -> list[Row]:
    """Of each key of rows (shape and threads) without a time of the dispatched variant one row;
    nothing can be chosen there. An old complete file names no dispatched variants: it lacks none."""
    if results.complete and not results.dispatched:
        return []
    variants = dispatched(results)
    ours = [row for row in results.rows if row.is_ours]
    # A run stops within the format that it writes last: which variants were to come is unknown.
    stopped_at = (ours[-1].op, ours[-1].format) if ours and not results.dispatched else None
    missing = []
    for group in summary.group_by_key(ours).values():
        first = group[0]
        if results.dispatched and key(results, first) not in variants:
            continue
        timed = {row.variant for row in group if row.times_ns}
        if (first.op, first.format) == stopped_at or variants.get(key(results, first)) not in timed:
            missing.append(first)
    return missing


def usable(results: Results) -> list[Row]:
    """The rows that a choice may rest on: timed, verified, not failed, and of formats and shapes
    whose dispatched variant was measured as well. ResultsError if none is left."""
    if not results.claims_timing:
        raise ResultsError(results.path, "emulated or smoke results carry no timing to choose by")
    unknown = {row.key for row in unmeasured(results)}
    rows = [
        row
        for row in results.rows
        if not row.failed and row.verified and row.claims_timing and row.key not in unknown
    ]
    if not rows:
        raise ResultsError(results.path, "no verified row to choose by")
    return rows
