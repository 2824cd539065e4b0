# SPDX-License-Identifier: Apache-2.0
"""How fast the products of a model's matrices are on this machine: each distinct shape is measured
once, by the best variant of each choice, with weights that no cache holds, as in a decoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantbench_results import layer, measure, rules, summary
from quantbench_results.layer import Layer
from quantbench_results.model.choices import Storage
from quantbench_results.rows import Results

Shape = tuple[int, int]
"""Outputs N, inputs K."""


@dataclass(frozen=True)
class Speed:
    """A product of one choice at one shape and number of rows."""

    variant: str
    ns: float
    spread: float
    nbytes: float
    """Of the weights, as the variant reads them."""
    limit_ns: float | None
    """What the limits measured beside it would take: of one row, memory's bandwidth."""


Speeds = Mapping[tuple[str, int, int, int], Speed]
"""By choice (a8.q4_0), N, K and m."""


def product_names(storages: Iterable[Storage]) -> list[str]:
    return [f"{a}.{storage.name}" for storage in storages for a in storage.arithmetics]


WARM_UP = measure.shape_of(1, 512, 4096, cold=True)
"""Measured before the shapes that are asked for, and not looked at: where a virtual machine's memory is backed
as it is touched, the first second of cold rows took up to a hundred times as long as the same rows later."""


def measure_here(
    program: str,
    storages: Sequence[Storage],
    shapes: Iterable[Shape],
    rows: Sequence[int],
    threads: int,
    kept: Path,
) -> Results:
    """Runs quantbench on the shapes; its rows are kept in the file."""
    asked = [measure.shape_of(m, n, k, cold=True) for n, k in shapes for m in rows]
    return measure.measure(program, list(dict.fromkeys([WARM_UP, *asked])), threads, kept, product_names(storages))


def speeds(
    results: Results, shapes: Iterable[Shape], rows: Sequence[int], threads: int
) -> dict[tuple[str, int, int, int], Speed]:
    """What the file says of these shapes."""
    found = {}
    for n, k in shapes:
        for m in rows:
            for candidate in layer.candidates(results, Layer(n, k, (m,), threads), m):
                share = summary.share(candidate.row)
                found[candidate.row.format, n, k, m] = Speed(
                    candidate.row.variant,
                    candidate.ns,
                    rules.spread(candidate.row),
                    candidate.nbytes,
                    candidate.ns * share / 100 if share else None,
                )
    return found


def fastest(several: Sequence[Speeds]) -> dict[tuple[str, int, int, int], Speed]:
    """Of products that were measured several times the fastest: a disturbance only adds."""
    found: dict[tuple[str, int, int, int], Speed] = {}
    for one in several:
        for key, speed in one.items():
            if key not in found or speed.ns < found[key].ns:
                found[key] = speed
    return found
