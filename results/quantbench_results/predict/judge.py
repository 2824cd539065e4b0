# SPDX-License-Identifier: Apache-2.0
"""From modelled loops to a prediction per kernel and core, and whether a measurement refutes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantbench_results import rules
from quantbench_results.predict.cores import CORES, Core, core_of
from quantbench_results.predict.model import Modelled
from quantbench_results.predict.work import takes_two_passes
from quantbench_results.rows import Results, Row
from quantbench_results.text import printable

TOLERANCE = 1.05
"""A prediction may lie this much above the measured cycles: the clock is measured beside the row."""


@dataclass(frozen=True)
class Measured:
    """What a results file says about the same kernels."""

    source: str
    core: Core | None
    """The core that it was measured on, if there is a model of it."""
    cycles: Mapping[tuple[str, str], float]
    """(kernel, variant) -> cycles an input element, or of a matmul a product."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of one kernel on one core."""

    cost: float
    """Cycles an input element, or of a matmul a multiply-add; NaN where no loop could be modelled."""
    loop: Modelled | None
    """The loop that the figure comes from."""
    refused: bool = False
    """Whether the kernel was measured to be faster on that very core."""

    @property
    def busy(self) -> float:
        """The share of the time that the binding units are busy."""
        if self.loop is None or not self.loop.cycles:
            return math.nan
        return self.loop.bound_cycles / self.loop.cycles


def unit_cost(loop: Modelled) -> float:
    """Predicted cycles an element, or of a matmul a product; NaN where there is no such unit."""
    units = loop.products or loop.elements
    return loop.cycles / units if units else math.nan


def predictions(
    found: Sequence[Modelled], measured: Measured | None = None
) -> dict[tuple[str, str, str], Prediction]:
    """(kernel, variant, core) -> its prediction."""
    groups: dict[tuple[str, str, str], list[Modelled]] = {}
    for loop in found:
        groups.setdefault((loop.kernel, loop.variant, loop.core), []).append(loop)
    told = {}
    for key, loops in groups.items():
        kernel, variant, core = key
        cost, loop = _cheapest(kernel, loops)
        judged = measured is not None and measured.core is not None and measured.core.name == core
        seen = measured.cycles.get((kernel, variant)) if judged and measured else None
        told[key] = Prediction(cost, loop, bool(seen and cost > seen * TOLERANCE))
    return told


def _cheapest(kernel: str, loops: Sequence[Modelled]) -> tuple[float, Modelled | None]:
    """The least cost of the kernel's loops, with the first pass where it takes one."""
    whole = [loop for loop in loops if not loop.error and loop.role == "whole"]
    if not whole:
        return math.nan, None
    best = min(whole, key=unit_cost)
    cost = unit_cost(best)
    first = [loop for loop in loops if not loop.error and loop.role == "first pass"]
    if first and takes_two_passes(kernel):
        cost += min(map(unit_cost, first))
    return cost, best


def measured_from(results: Results) -> Measured:
    """What a file measured where data lies in the first cache level, or of a matmul at its best
    shape, by the clock that was measured beside each row."""
    symbols = results.context.get("operations")
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for row in results.rows if isinstance(symbols, dict) else ():
        kernel = symbols.get(f"{row.op}/{row.format}")
        counted = _cycles(row)
        if not isinstance(kernel, str) or counted is None:
            continue
        rank, cycles = counted
        key = (kernel, row.variant)
        if key not in found or rank < found[key][0]:
            found[key] = (rank, cycles)
    source = printable(f"{results.path.name} ({results.text('cpu_name')})", 200)
    return Measured(source, core_of(results), {key: value for key, (_, value) in found.items()})


def _cycles(row: Row) -> tuple[float, float] | None:
    """(what ranks the row among its kernel's, its cycles an element or a product); None if it has
    none to tell."""
    clock = row.counter("clock_ghz")
    if row.failed or row.threads != 1 or row.cold or not clock or not row.claims_timing:
        return None
    cycles = rules.figure(row) * clock
    if row.op == "matmul":
        dims = row.dims
        if not {"m", "n", "k"} <= dims.keys():
            return None
        each = cycles / (dims["m"] * dims["n"] * dims["k"])
        return each, each
    if row.op == "repack" or "n" not in row.dims:
        return None
    return row.dims["n"], cycles / row.dims["n"]


def behind_twins(
    told: Mapping[tuple[str, str, str], Prediction],
) -> list[tuple[tuple[str, str, str], Prediction, Prediction]]:
    """Hand-written ARM loops that keep their binding units less busy than the AVX2 loop of the same
    kernel does on a Zen 3, with that loop; the furthest behind first."""
    arm = {core.name for core in CORES if core.arch == "aarch64"}
    behind = []
    for (kernel, variant, core), ours in told.items():
        twin = told.get((kernel, "avx2", "znver3"))
        if (
            core in arm
            and not variant.startswith("xsimd")
            and twin
            and ours.busy < 0.98 * twin.busy
        ):
            behind.append(((kernel, variant, core), ours, twin))
    return sorted(behind, key=lambda item: item[1].busy / item[2].busy)
