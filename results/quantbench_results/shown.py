# SPDX-License-Identifier: Apache-2.0
"""Which rows of a file its tables show: those of the variants that are dispatched to, with one thread,
by where the data lies or by shape; and how they stand beside other projects' kernels."""

from __future__ import annotations

import re

from quantbench_results import dispatch, rules, summary
from quantbench_results.errors import ResultsError
from quantbench_results.rows import PEER, Results, Row
from quantbench_results.text import in_table

SIZE_CLASSES = ("L1", "L2", "L3", "beyond L3")
# Packing is a means, not an answer that a reader came for.
LEFT_OUT = ("repack",)


def dispatched(results: Results) -> dict[dispatch.Key, str]:
    """Per operation, format and class of rows the variant whose rows are shown: the one that is
    dispatched to."""
    found = dispatch.dispatched(results, rows(results))
    if not found:
        raise ResultsError(results.path, "no row of a hand-written variant to show")
    return found


def rows(results: Results) -> list[Row]:
    """Timed rows of one thread and warm data, of every variant and peer."""
    return [
        row
        for row in summary.timed(results.rows)
        if row.threads == 1 and not row.cold and row.op not in LEFT_OUT
    ]


def ours(results: Results) -> list[Row]:
    """Those of them by the variant that is dispatched to."""
    variants = dispatched(results)
    return [
        row for row in rows(results) if variants.get(dispatch.key(results, row)) == row.variant
    ]


def by_place(results: Results) -> dict[tuple[str, str], dict[str, Row]]:
    """Our array rows: per operation and format, by where the data lies."""
    arrays = [row for row in ours(results) if set(row.dims) == {"n"}]
    groups: dict[tuple[str, str], dict[str, Row]] = {}
    for row in arrays:
        # Formats differ in bytes an element, so the lengths, not the bytes, make the columns.
        lengths = sorted({other.dims["n"] for other in arrays if other.key[:2] == row.key[:2]})
        place = summary.size_class(row, results)
        if len(lengths) == len(SIZE_CLASSES):
            place = SIZE_CLASSES[lengths.index(row.dims["n"])]
        elif place == "memory":
            place = SIZE_CLASSES[-1]
        groups.setdefault((row.op, row.format), {})[place] = row
    return groups


def places(groups: dict[tuple[str, str], dict[str, Row]]) -> list[str]:
    """Where the data of these rows lies, nearest first."""
    return [place for place in SIZE_CLASSES if any(place in at for at in groups.values())]


def middle(groups: dict[tuple[str, str], dict[str, Row]]) -> str:
    """The place to compare at where one must do: L2, or the nearest that these rows have."""
    found = places(groups)
    return "L2" if "L2" in found else found[0] if found else ""


def products(results: Results) -> dict[str, dict[str, Row]]:
    """Our rows of the matmul: per format, by shape."""
    groups: dict[str, dict[str, Row]] = {}
    for row in ours(results):
        if row.op == "matmul":
            groups.setdefault(row.format, {})[summary.shape_text(row).replace("×", " × ")] = row
    return groups


# What a peer's note says of the work that it does: more than is asked for, or less.
_DOES_MORE = re.compile("computes more|with their places")
_LEAVES_OUT = re.compile("left out")


def _marked(name: str, note: str) -> str:
    more, less = _DOES_MORE.search(note), _LEAVES_OUT.search(note)
    return name + ("⁺" if more else "") + ("⁻" if less else "")


class Peers:
    """The fastest of the other projects' kernels beside each of our rows: by turns, or in older files
    by the medians of rows that were timed one after the other."""

    def __init__(self, results: Results):
        self.by_turns = any(summary.in_turns(row) for row in ours(results))
        peers = [row for row in rows(results) if row.is_peer]
        groups = summary.group_by_key(peers)
        self.best = {key: best for key, group in groups.items() if (best := rules.best(group))}
        self.notes = {(row.key, row.variant): row.label for row in peers}

    def cell(self, row: Row) -> str:
        """How many times as fast our row is as which peer; ~ where that is a tie."""
        if self.by_turns:
            found = summary.in_turns(row)
            tie = rules.tied_with_peer(row)
        else:
            peer = self.best.get(row.key)
            found = peer and (
                rules.figure(peer) / rules.figure(row),
                peer.variant.removeprefix(PEER),
            )
            tie = peer is not None and rules.tied(peer, row)
        if not found:
            return ""
        over, name = found
        name = _marked(name, self.notes.get((row.key, PEER + name), ""))
        return f"{'~' if tie else ''}{summary.times_text(over)} {in_table(name)}"
