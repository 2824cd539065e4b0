# SPDX-License-Identifier: Apache-2.0
"""A format for each matrix of a model: the fastest within an error budget, or the most exact within a
budget of bytes or time. A multiple-choice knapsack, solved by SciPy's MILP (HiGHS).

A plan's error is the mean of its matrices' errors, weighted by their number of weights; its time and
its bytes are sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

GAP = 1e-3
"""Solutions are at most this far from the best one, as a share of it."""
MOST_SECONDS = 60
_SLACK = 1e-6
"""By as much, as a share of it, HiGHS lets a budget be exceeded."""
_GOOD_SIZE = 1e3
"""Of an objective, beside HiGHS's absolute tolerances of 1e-6."""


@dataclass(frozen=True)
class Option:
    """A choice for one matrix."""

    name: str
    ns: float
    error: float
    """The matrix' error, times its share of the model's weights: errors add up to the plan's."""
    nbytes: float


@dataclass(frozen=True)
class Budget:
    error: float | None = None
    nbytes: float | None = None
    ns: float | None = None

    @property
    def fastest(self) -> bool:
        """Whether time is what is made least: an error is allowed. Otherwise the error is."""
        return self.error is not None


@dataclass(frozen=True)
class Plan:
    budget: Budget
    chosen: tuple[Option, ...]
    """Of each matrix, in the order given."""

    @property
    def ns(self) -> float:
        return math.fsum(option.ns for option in self.chosen)

    @property
    def error(self) -> float:
        return math.fsum(option.error for option in self.chosen)

    @property
    def nbytes(self) -> float:
        return math.fsum(option.nbytes for option in self.chosen)


def undominated(options: Sequence[Option]) -> list[Option]:
    """The options that no other one equals or beats in time, error and bytes at once."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda o: (o.ns, o.error, o.nbytes, o.name)):
        if not any(other.error <= option.error and other.nbytes <= option.nbytes for other in kept):
            kept.append(option)
    return kept


def solve(matrices: Sequence[Sequence[Option]], budget: Budget) -> Plan | None:
    """The best plan within the budget; None if there is none."""
    options = [undominated(found) for found in matrices]
    flat = [option for found in options for option in found]
    if not all(options):
        return None
    of = np.repeat(np.arange(len(options)), [len(found) for found in options])
    one_each = csr_matrix((np.ones(len(flat)), (of, np.arange(len(flat)))), (len(options), len(flat)))
    constraints = [LinearConstraint(one_each, 1, 1)]
    for limit, key in ((budget.error, "error"), (budget.nbytes, "nbytes"), (budget.ns, "ns")):
        if limit is not None:
            values = np.array([getattr(option, key) for option in flat])
            scale = limit if limit > 0 else 1.0
            constraints.append(LinearConstraint(csr_matrix(values / scale), -np.inf, limit / scale - _SLACK))
    cost = np.array([option.ns if budget.fastest else option.error for option in flat])
    solution = _least(cost, constraints)
    if solution is None:
        return None
    chosen = []
    for index in range(len(options)):
        of_matrix = np.flatnonzero(of == index)
        chosen.append(flat[int(of_matrix[solution[of_matrix].argmax()])])
    return Plan(budget, tuple(chosen))


def _least(
    cost: NDArray[np.float64], constraints: Sequence[LinearConstraint]
) -> NDArray[np.float64] | None:
    """The whole-numbered solution of least cost, or None. The costs are first scaled by what the problem
    without whole numbers costs: errors may be far below the solver's absolute tolerances."""
    relaxed = milp(cost / (cost.max() or 1.0), bounds=Bounds(0, 1), constraints=constraints)
    if relaxed.x is None:
        return None
    least = float(cost @ relaxed.x)
    found = milp(
        cost * (_GOOD_SIZE / least if least > 0 else 1.0),
        integrality=np.ones(len(cost)),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": GAP, "time_limit": MOST_SECONDS},
    )
    return None if found.x is None else np.asarray(found.x)
