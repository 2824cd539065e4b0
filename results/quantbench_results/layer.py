# SPDX-License-Identifier: Apache-2.0
"""Which format for a layer of N outputs and K inputs, at some numbers of rows of activations: one
recommendation each, and the formats between which a choice is open.

A format is on the front if every faster one loses more. Formats that measuring can't tell apart in
time (quantbench_results.rules) are called a tie, and of formats that tie with the fastest one the one
that loses least is recommended.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from quantbench_results import pareto, rules, summary
from quantbench_results.dispatch import usable
from quantbench_results.rows import Results, Row

DEFAULT_ERROR = 1e-2
"""The NMSE that a recommendation keeps to unless one is asked for: about what 4 bits a weight lose."""


@dataclass(frozen=True)
class Layer:
    """A matrix of weights, and how it is multiplied."""

    n: int
    k: int
    rows: tuple[int, ...]
    """The numbers of rows of activations that are asked about."""
    threads: int = 1

    @property
    def text(self) -> str:
        return f"{self.n}x{self.k}"


@dataclass(frozen=True)
class Candidate:
    """One format under one arithmetic, by its best variant."""

    row: Row
    nbytes: float
    """Of the weights in their format."""
    error: float
    """The whole normalised mean squared error of the product."""

    @property
    def ns(self) -> float:
        return rules.figure(self.row)

    @property
    def bits(self) -> float:
        return _bits(self.row, self.nbytes)


def _bits(row: Row, nbytes: float) -> float:
    return 8 * nbytes / (row.dims["n"] * row.dims["k"])


def weight_bytes(row: Row) -> float | None:
    """Bytes of a product's weights in their format, or rounded to bf16: what the row moves without
    activations and outputs."""
    dims = row.dims
    moved, ops = row.counters.get("bytes_per_second"), row.counters.get("ops_per_second")
    if not moved or not ops or len(moved) != len(ops) or not {"m", "n", "k"} <= set(dims):
        return None
    m, n, k = dims["m"], dims["n"], dims["k"]
    ratios = [b / o for b, o in zip(moved, ops, strict=True) if o > 0]
    if not ratios:
        return None
    width = 2 if row.format.startswith("f16.") else 4
    return statistics.median(ratios) * 2 * m * n * k - width * m * (n + k)


def weight_bits(row: Row) -> float | None:
    """Bits that a weight of a product takes, scales included."""
    nbytes = weight_bytes(row)
    return None if nbytes is None else _bits(row, nbytes)


def candidates(results: Results, layer: Layer, m: int) -> list[Candidate]:
    """Per format its best row of this shape, fastest first; of cold weights if the file has both."""
    rows = [
        row
        for row in usable(results)
        if row.op == "matmul" and row.is_ours and row.threads == layer.threads
        and row.dims == {"m": m, "n": layer.n, "k": layer.k}
    ]  # fmt: skip
    rows = [row for row in rows if row.cold] or rows
    by_format: dict[str, list[Row]] = {}
    for row in rows:
        by_format.setdefault(row.format, []).append(row)
    found = []
    for group in by_format.values():
        best = rules.best(group)
        nbytes = weight_bytes(best) if best else None
        error = summary.total_error(best) if best else None
        if best and nbytes is not None and error is not None:
            found.append(Candidate(best, nbytes, error))
    return sorted(found, key=lambda candidate: candidate.ns)


def front(found: Iterable[Candidate]) -> list[Candidate]:
    """The candidates that lose less than every faster one, fastest first."""
    return pareto.front(found, lambda c: c.ns, lambda c: c.error)


def allowed(
    found: Iterable[Candidate], max_error: float, max_bytes: float | None
) -> list[Candidate]:
    return [c for c in found if c.error <= max_error and (max_bytes is None or c.nbytes <= max_bytes)]


def recommended(ordered: Sequence[Candidate]) -> Candidate | None:
    """Of candidates, fastest first: the fastest, or what ties with it and loses least."""
    if not ordered:
        return None
    tied = [c for c in ordered[1:] if rules.tied(ordered[0].row, c.row)]
    return min([ordered[0], *tied], key=lambda c: c.error)


def sentence(
    found: Sequence[Candidate], m: int, max_error: float, max_bytes: float | None
) -> str:
    """The recommendation for m rows."""
    budget = f"an error of {max_error:g}" + (f" and {megabytes(max_bytes)}" if max_bytes is not None else "")
    fitting = allowed(found, max_error, max_bytes)
    best = recommended(fitting)
    if best is None:
        small = [c for c in found if max_bytes is None or c.nbytes <= max_bytes]
        if not small:
            least = min(found, key=lambda c: c.nbytes)
            rest = f"the smallest is {least.row.format}, of {megabytes(least.nbytes)}"
        else:
            least = min(small, key=lambda c: c.error)
            rest = f"what loses least is {least.row.format}, with {least.error:.1e}"
        return f"m = {m}: no format is within {budget}; {rest}."
    text = (
        f"m = {m}: use {best.row.format}: {summary.time_text(best.ns)} {summary.spread_text(best.row)} "
        f"({best.row.variant}), error {best.error:.1e}, {megabytes(best.nbytes)}; of the formats within "
        f"{budget} "
    )
    ties = [c.row.format for c in fitting if c is not best and rules.tied(best.row, c.row)]
    slower = [c for c in fitting if c.ns > best.ns and not rules.tied(best.row, c.row)]
    if ties:
        some = f"{', '.join(ties[:3])}{' and others' if len(ties) > 3 else ''}"
        text += f"it is the most exact of the fastest (a tie with {some})"
    else:
        text += "it is the fastest"
    if slower:
        text += f", and {slower[0].row.format} is next, {slower[0].ns / best.ns:.2f} times as long"
    return text + "."


def megabytes(nbytes: float) -> str:
    return f"{nbytes / 1e6:.3g} MB"


TITLES = ("format", "variant", "bits", "MB", "error", "time", "spread", "")


def table(found: Sequence[Candidate], max_error: float, max_bytes: float | None) -> list[str]:
    """The front as lines, fastest first: what ties in time with the line above, and what is beyond a
    budget, says so."""
    fitting = allowed(found, max_error, max_bytes)
    lines = [TITLES]
    above: Candidate | None = None
    for candidate in front(found):
        remarks = []
        if above and rules.tied(above.row, candidate.row):
            remarks.append(f"tie with {above.row.format}")
        if candidate not in fitting:
            remarks.append("beyond the budget")
        above = candidate
        row = candidate.row
        lines.append((
            row.format, row.variant, f"{candidate.bits:.4g}", f"{candidate.nbytes / 1e6:.3g}",
            f"{candidate.error:.1e}", summary.time_text(candidate.ns), summary.spread_text(row),
            ", ".join(remarks),
        ))  # fmt: skip
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Columns below each other, the first two to the left."""
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    last = len(widths) - 1
    return [
        "  " + "  ".join(
            cell.ljust(width) if at < 2 or at == last else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]  # fmt: skip


def answer(
    results: Results, layer: Layer, max_error: float, max_bytes: float | None
) -> list[str]:
    """The whole answer: per number of rows the recommendation, then the front."""
    lines = [
        f"{results.text('cpu_name')}, {results.text('isa_enabled')}, {results.text('date')[:16]}",
        f"{layer.n} outputs, {layer.k} inputs, {layer.threads} thread{'s' * (layer.threads > 1)}",
    ]
    for m in layer.rows:
        found = candidates(results, layer, m)
        cold = "cold weights" if found[0].row.cold else "weights as warm as caches keep them"
        lines += [
            "",
            sentence(found, m, max_error, max_bytes),
            f"  The front, {cold} ({len(front(found))} of {len(found)} formats; every other one is "
            "slower and loses more):",
            *table(found, max_error, max_bytes),
        ]
    return lines


def missing(results: Results, layer: Layer) -> list[int]:
    """The numbers of rows of which the file has no format at this layer's shape."""
    return [m for m in layer.rows if not candidates(results, layer, m)]


def shapes_of(results: Results) -> list[str]:
    """The layers and numbers of rows that a file has, as text: 4096x4096 (m 1)."""
    found: dict[tuple[str, int], set[int]] = {}
    for row in results.rows:
        dims = row.dims
        if row.op == "matmul" and {"m", "n", "k"} <= set(dims) and row.times_ns:
            found.setdefault((f"{dims['n']}x{dims['k']}", row.threads), set()).add(dims["m"])
    return [
        f"{name} (m {','.join(map(str, sorted(rows)))}{f', {threads} threads' if threads > 1 else ''})"
        for (name, threads), rows in found.items()
    ]
