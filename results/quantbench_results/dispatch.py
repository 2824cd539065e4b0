"""Which variant the suite dispatches to, per operation and format, and what an interrupted run lacks.

A file names them in its context ("dispatched"). Older files don't: there it is the hand-written
variant that the suite registers, and so writes, last.
"""

from __future__ import annotations

from collections.abc import Iterable

from quantbench_results import summary
from quantbench_results.rows import Results, Row

Format = tuple[str, str]
"""An operation and a format."""


def dispatched(results: Results, rows: Iterable[Row] | None = None) -> dict[Format, str]:
    """The variant dispatched to per operation and format of these rows (default: all of the file)."""
    named = results.dispatched
    found: dict[Format, str] = {}
    for row in results.rows if rows is None else rows:
        key = (row.op, row.format)
        if told := named.get("/".join(key)):
            found[key] = told
        elif summary.family(row.variant) == "hand":
            found[key] = row.variant
    return found


def unmeasured(results: Results) -> list[Row]:
    """Of each key (shape and threads) without a time of the dispatched variant one row; nothing can
    be chosen there. An old complete file names no dispatched variants: it lacks none."""
    if results.complete and not results.dispatched:
        return []
    variants = dispatched(results)
    ours = [row for row in results.rows if not row.is_peer]
    # A run stops within the format that it writes last: which variants were to come is unknown.
    stopped_at = (ours[-1].op, ours[-1].format) if ours and not results.dispatched else None
    missing = []
    for group in summary.group_by_key(ours).values():
        key = (group[0].op, group[0].format)
        timed = {row.variant for row in group if row.times_ns}
        if key == stopped_at or variants.get(key) not in timed:
            missing.append(group[0])
    return missing
