# SPDX-License-Identifier: Apache-2.0
"""What follows from rows: which variant is best, how far from the limit, how far ahead of what."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quantbench_results import rules
from quantbench_results.rows import PEER, Results, Row
from quantbench_results.text import printable

BASELINES = ("scalar", "autovec", "xsimd")


def family(variant: str) -> str:
    """scalar, autovec, xsimd, peer, or hand for intrinsics."""
    if variant.startswith(PEER):
        return "peer"
    for name in BASELINES:
        if variant == name or variant.startswith(name + "_"):
            return name
    return "hand"


def speed(row: Row) -> float | None:
    """Operations (matmul) or bytes per second, of the median repetition."""
    key = "ops_per_second" if "ops_per_second" in row.counters else "bytes_per_second"
    value = row.counter(key)
    return value if value and value > 0 else None


def is_arithmetic(row: Row) -> bool:
    return "ops_per_second" in row.counters


def share(row: Row) -> float | None:
    """Percent of the measured limit, of the median repetition."""
    value = row.counter("roof_pct")
    return value if value and value > 0 else None


def limit(row: Row) -> float | None:
    """The measured limit that the row is judged by, in the unit of speed()."""
    rate, percent = speed(row), share(row)
    return 100 * rate / percent if rate and percent else None


def total_error(row: Row) -> float | None:
    """The whole normalised mean squared error of a product: what quantizing the weights lost and
    what the kernel's arithmetic adds; None if the row has no error to tell."""
    parts = [row.counter(key) for key in ("weights_nmse", "nmse")]
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def error_text(row: Row) -> str:
    """The error on the timed inputs, in a few words."""
    if not row.verified:
        return "unverified"
    nmse = row.counter("nmse")
    if nmse is not None:
        lost = row.counter("weights_nmse")
        return f"nmse {nmse:.1e}" + (f", weights {lost:.1e}" if lost else "")
    return "exact"


def timed(rows: Iterable[Row]) -> list[Row]:
    """The rows with times that mean something."""
    return [row for row in rows if row.times_ns and row.claims_timing and speed(row)]


def group_by_key(rows: Iterable[Row]) -> dict[tuple[str, str, str, int], list[Row]]:
    """Rows that can replace each other, together; in the order of the file."""
    groups: dict[tuple[str, str, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.key, []).append(row)
    return groups


def best_of(rows: Iterable[Row], *families: str) -> Row | None:
    """The best row among these families (all of them if none is named)."""
    return rules.best(row for row in rows if not families or family(row.variant) in families)


@dataclass(frozen=True)
class Standing:
    """A row beside the others of its key."""

    row: Row
    over: Mapping[str, float]
    """Baseline family (scalar, autovec, xsimd, peer) -> how many times as fast as its best row."""


@dataclass(frozen=True)
class Best:
    """The winner of a key among our own variants, and what it left behind."""

    standing: Standing
    ties: tuple[Row, ...]
    """Others of ours that can't be told from it, the best of them first."""
    runner_up: Row | None
    """The best of ours that is certainly slower."""

    @property
    def row(self) -> Row:
        return self.standing.row

    @property
    def margin(self) -> float | None:
        """How many times as fast as the runner-up."""
        return rules.figure(self.runner_up) / rules.figure(self.row) if self.runner_up else None


def in_turns(row: Row) -> tuple[float, str] | None:
    """How many times as fast as its best peer the row was in turns with it, and the peer's name;
    None without turns."""
    over = rules.over_peer(row)
    if over is None:
        return None
    name = re.search(rf"best peer: {PEER}([^\s;]+)", row.label)
    return over[0], name[1] if name else "unnamed"


def loaded(results: Results) -> list[Row]:
    """The rows of the user's own kernels that were timed."""
    return [row for row in timed(results.rows) if row.is_loaded]


def peer_versions(results: Results) -> str:
    """The other projects whose rows the file has, with version and date; empty if it has none."""
    peers = results.context.get("peers")
    named = {re.split(r"[-:]", row.variant)[1] for row in results.rows if row.is_peer}
    found = []
    for name, text in sorted(peers.items()) if isinstance(peers, dict) else ():
        # "3.2.0 (2023-06)" of "3.2.0 (2023-06), on SYCL"
        number = re.match(r"[^\s,]*\d[^\s,]*( \(\d{4}-\d\d\))?", str(text))
        version = number[0] if number else str(text).split(",")[0]
        if name in named:
            found.append(f"{name} {printable(version)}")
    return "; ".join(found)


def standings(rows: Iterable[Row]) -> list[Standing]:
    found = []
    for group in group_by_key(timed(rows)).values():
        base = {name: best_of(group, name) for name in (*BASELINES, "peer")}
        for row in group:
            over = {
                name: rules.figure(b) / rules.figure(row)
                for name, b in base.items()
                if b is not None
            }
            counted = row.counter("speedup_vs_scalar")
            if "scalar" not in over and counted and row.threads == 1:
                over["scalar"] = counted  # a filtered run times scalar without reporting it
            if by_turns := in_turns(row):
                over["peer"] = by_turns[0]
            found.append(Standing(row, over))
    return found


def best_variants(rows: Iterable[Row]) -> list[Best]:
    """Per key the best of our variants; peers compete only in `over`."""
    groups: dict[tuple[str, str, str, int], list[Standing]] = {}
    for standing in standings(rows):
        if not standing.row.is_peer:
            groups.setdefault(standing.row.key, []).append(standing)
    found = []
    for group in groups.values():
        group.sort(key=lambda standing: rules.figure(standing.row))
        ordered = [standing.row for standing in group]
        ties = rules.ties_of_best(ordered)
        slower = [row for row in ordered[1:] if row not in ties]
        found.append(Best(group[0], tuple(ties), slower[0] if slower else None))
    return found


def working_set(row: Row) -> float | None:
    """Bytes that one call touches: as reported, or else its compulsory traffic."""
    reported = row.counter("working_set")
    if reported:
        return reported
    rate = row.counter("bytes_per_second")
    return rate * rules.figure(row) * 1e-9 if rate else None


def size_class(row: Row, results: Results) -> str:
    """The smallest measured cache level that the working set fits in, or "memory"."""
    touched = working_set(row)
    for name, capacity, _ in results.caches:
        if touched is not None and touched <= capacity:
            return name
    return "memory"


def geometric_mean(values: Iterable[float]) -> float:
    logs = [math.log(value) for value in values if value > 0]
    return math.exp(statistics.fmean(logs)) if logs else math.nan


def scaled(value: float | None, unit: str) -> str:
    """12.3 GB/s, 456 Mop/s, ..."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    factors = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
    factor, prefix = next((pair for pair in factors if abs(value) >= pair[0]), (1.0, ""))
    number = value / factor
    digits = 0 if number >= 100 else 1 if number >= 10 else 2
    return f"{number:.{digits}f} {prefix}{unit}"


def speed_text(row: Row) -> str:
    return scaled(speed(row), "op/s" if is_arithmetic(row) else "B/s")


def spread_text(row: Row) -> str:
    """±2 %: how far the repetitions lie from the figure."""
    return f"±{100 * rules.spread(row):.0f} %" if row.times_ns else "–"


def times_text(value: float | None) -> str:
    """3.4x, 12x."""
    if value is None or not math.isfinite(value):
        return "\N{EN DASH}"
    return (
        f"{value:.0f}×" if value >= 99.5 else f"{value:.1f}×" if value >= 9.95 else f"{value:.2f}×"
    )


def time_text(ns: float) -> str:
    for factor, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if ns >= factor:
            return f"{ns / factor:.3g} {unit}"
    return f"{ns:.3g} ns"


def shape_text(row: Row) -> str:
    """n = 65536 as 64 Ki, m:1/n:4096/k:4096 as 1×4096×4096."""
    dims = row.dims
    rest = "".join(f" {part}" for part in row.shape.split("/") if part.split(":")[0] not in dims)
    if set(dims) == {"n"}:
        return binary_text(dims["n"]) + rest
    if dims:
        return "×".join(str(dims[key]) for key in sorted(dims, key="mnk".find)) + rest
    return row.shape


def binary_text(count: int) -> str:
    for shift, suffix in ((30, " Gi"), (20, " Mi"), (10, " Ki")):
        if count >= 1 << shift and count % (1 << (shift - 4)) == 0:
            return f"{count / (1 << shift):g}{suffix}"
    return str(count)
