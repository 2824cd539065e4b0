# SPDX-License-Identifier: Apache-2.0
"""A model's matrices together: what each choice loses, takes and costs in time if all are stored so,
and the mixed plans.

Where a choice does not take a matrix, the whole model has it in what llama.cpp would store there, if
the package knows that, and otherwise in f16.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quantbench_results import pareto
from quantbench_results.model import plan
from quantbench_results.model.choices import LAST_FALLBACK, fallback, storages
from quantbench_results.model.losses import GIVEN, NORMAL, OUTLIERS
from quantbench_results.model.plan import Budget, Option, Plan
from quantbench_results.model.speeds import Speed, Speeds

Record = Mapping[str, Any]
"""What losses.look_at() says of a matrix."""


def decibels(nmse: float) -> float:
    """The signal to quantization noise ratio of an error."""
    return -10 * math.log10(nmse) if nmse > 0 else math.inf


def output_error(record: Record, choice: str) -> float | None:
    """The error of a matrix' products that a plan counts: the user's activations' if they fit, else
    that of normal ones with outlier channels; None if the choice does not take the matrix."""
    arithmetic, _, storage = choice.partition(".")
    errors = record["formats"].get(storage, {}).get("products", {}).get(arithmetic)
    return errors and next(errors[kind] for kind in (GIVEN, OUTLIERS, NORMAL) if kind in errors)


@dataclass
class Total:
    """One choice for the whole model."""

    choice: str
    elsewhere: dict[str, int] = field(default_factory=dict)
    """Matrices that are stored otherwise: as what, and how many."""
    nmse: float = 0.0
    output: dict[str, float] = field(default_factory=dict)
    """Error of the outputs by kind of activations, the arithmetic's included."""
    arithmetic_alone: dict[str, float] = field(default_factory=dict)
    error: float = 0.0
    """What plans count (output_error), the mean over the matrices by their weights."""
    worst_row: tuple[str, int, float] = ("", 0, 0.0)
    nbytes: float = 0.0
    bits: float = 0.0
    ns: dict[int, float] = field(default_factory=dict)
    """By rows of activations: the model's products one after another. Missing if one has no time."""
    spread: dict[int, float] = field(default_factory=dict)
    """Of the times, as a share: the mean of the products' spreads."""
    limit_ns: dict[int, float] = field(default_factory=dict)

    def share(self, m: int) -> float | None:
        """Percent of the measured limit."""
        return 100 * self.limit_ns[m] / self.ns[m] if self.ns.get(m) and m in self.limit_ns else None


def taken(record: Record, storage: str) -> str:
    """What a matrix is stored as, if the model is to be stored as `storage`."""
    if storage in record["formats"]:
        return storage
    asked = storages()[storage]
    name = fallback(asked, record["k"])
    return name if name in record["formats"] else LAST_FALLBACK


def _product(storage: str, arithmetic: str) -> str:
    """The product of that arithmetic, or of a32 where the format has none of it."""
    return f"{arithmetic if arithmetic in storages()[storage].arithmetics else 'a32'}.{storage}"


def total(records: Sequence[Record], choice: str, speeds: Speeds, rows: Sequence[int]) -> Total | None:
    """The choice for all matrices; None if it takes none of them."""
    arithmetic, _, storage = choice.partition(".")
    if not any(storage in record["formats"] for record in records):
        return None
    found = Total(choice)
    weights = sum(record["n"] * record["k"] for record in records)
    sizes = math.fsum(record["sum_of_squares"] for record in records)
    choices = []
    for record in records:
        name = taken(record, storage)
        if name not in record["formats"]:
            return None
        if name != storage:
            found.elsewhere[name] = found.elsewhere.get(name, 0) + 1
        loss, share = record["formats"][name], record["n"] * record["k"] / weights
        product = _product(name, arithmetic)
        choices.append(product)
        found.error += share * (output_error(record, product) or 0.0)
        _mean(found.output, loss["products"][product.partition(".")[0]], share)
        _mean(found.arithmetic_alone, loss["arithmetic_alone"].get(arithmetic, {}), share)
        found.nmse += loss["lost_squares"] / sizes if sizes else 0.0
        found.bits += share * storages()[name].bits(record["k"])
        if loss["worst_row_nmse"] >= found.worst_row[2]:
            found.worst_row = record["name"], loss["worst_row"], loss["worst_row_nmse"]
    found.nbytes = found.bits * weights / 8
    if not all(GIVEN in loss["output"] for record in records for loss in record["formats"].values()):
        found.output.pop(GIVEN, None)
        found.arithmetic_alone.pop(GIVEN, None)
    for m in rows:
        _add_times(found, records, choices, speeds, m)
    return found


def _mean(sums: dict[str, float], errors: Mapping[str, float], share: float) -> None:
    for kind, value in errors.items():
        sums[kind] = sums.get(kind, 0.0) + share * value


def _add_times(
    found: Total, records: Sequence[Record], choices: Sequence[str], speeds: Speeds, m: int
) -> None:
    each: list[Speed | None] = [
        speeds.get((choice, record["n"], record["k"], m))
        for record, choice in zip(records, choices, strict=True)
    ]
    times = [speed.ns for speed in each if speed]
    limits = [speed.limit_ns for speed in each if speed and speed.limit_ns]
    if len(times) == len(records):
        found.ns[m] = math.fsum(times)
        spreads = math.fsum(speed.ns * speed.spread for speed in each if speed)
        found.spread[m] = spreads / found.ns[m]
    if len(limits) == len(records):
        found.limit_ns[m] = math.fsum(limits)


def totals(records: Sequence[Record], choices: Sequence[str], speeds: Speeds, rows: Sequence[int]) -> list[Total]:
    """Every choice, fastest at the first number of rows first; without times the most exact first."""
    found = [t for choice in choices if (t := total(records, choice, speeds, rows))]
    return sorted(found, key=lambda t: (t.ns.get(rows[0], math.inf), t.error))


def front(ordered: Sequence[Total], m: int) -> list[Total]:
    """Of totals, those that lose less than every faster one at m rows."""
    timed = [entry for entry in ordered if m in entry.ns]
    return pareto.front(timed, lambda entry: entry.ns[m], lambda entry: entry.error)


def tied(left: Total, right: Total, m: int) -> bool:
    """Whether their times can't be told apart (docs/results-rules.md)."""
    a, b = left.ns[m], right.ns[m]
    return abs(a - b) / min(a, b) < left.spread[m] + right.spread[m]


def options(records: Sequence[Record], choices: Sequence[str], speeds: Speeds, m: int) -> list[list[Option]]:
    """What each matrix can be, for plan.solve()."""
    weights = sum(record["n"] * record["k"] for record in records)
    found = []
    for record in records:
        share = record["n"] * record["k"] / weights
        of_matrix = []
        for choice in choices:
            error = output_error(record, choice)
            speed = speeds.get((choice, record["n"], record["k"], m))
            if error is not None and speed:
                storage = storages()[choice.partition(".")[2]]
                nbytes = storage.bits(record["k"]) * record["n"] * record["k"] / 8
                of_matrix.append(Option(choice, speed.ns, share * error, nbytes))
        found.append(of_matrix)
    return found


def mixed(
    records: Sequence[Record], choices: Sequence[str], speeds: Speeds, m: int, budget: Budget
) -> Plan | None:
    return plan.solve(options(records, choices, speeds, m), budget)
