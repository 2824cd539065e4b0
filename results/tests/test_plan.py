# SPDX-License-Identifier: Apache-2.0
"""Mixed plans: within 2 % of the best of all assignments, budgets kept."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from quantbench_results.model.plan import Budget, Option, solve, undominated


def random_matrices(seed, matrices=4, options=6):
    rng = np.random.default_rng(seed)
    return [
        [
            Option(f"f{j}", float(rng.lognormal(8, 1)), float(10 ** rng.uniform(-13, -1)) / matrices,
                   float(rng.integers(1, 1000)))
            for j in range(options)
        ]
        for _ in range(matrices)
    ]  # fmt: skip


def best(matrices, budget):
    """The least objective of every assignment within the budget; None if there is none."""
    key = "ns" if budget.fastest else "error"
    least = None
    for chosen in itertools.product(*matrices):
        sums = {k: sum(getattr(o, k) for o in chosen) for k in ("ns", "error", "nbytes")}
        limits = {"error": budget.error, "nbytes": budget.nbytes, "ns": budget.ns}
        if all(limit is None or sums[k] <= limit for k, limit in limits.items()):
            least = sums[key] if least is None else min(least, sums[key])
    return least


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", ["error", "nbytes", "ns", "error and bytes"])
def test_plans_are_within_two_percent_of_the_optimum(seed, kind):
    matrices = random_matrices(seed)
    rng = np.random.default_rng(100 + seed)
    budget = {
        "error": Budget(error=float(10 ** rng.uniform(-6, -1))),
        "nbytes": Budget(nbytes=float(rng.uniform(700, 3000))),
        "ns": Budget(ns=float(rng.uniform(4e3, 4e4))),
        "error and bytes": Budget(error=0.02, nbytes=2500.0),
    }[kind]
    optimum, plan = best(matrices, budget), solve(matrices, budget)
    if optimum is None:
        assert plan is None
        return
    found = plan.ns if budget.fastest else plan.error
    assert optimum <= found * (1 + 1e-9) and found <= 1.02 * optimum
    for limit, value in ((budget.error, plan.error), (budget.nbytes, plan.nbytes), (budget.ns, plan.ns)):
        assert limit is None or value <= limit


def test_what_is_beaten_in_everything_is_no_option():
    a, b, c = Option("a", 1, 0.5, 4), Option("b", 2, 0.5, 4), Option("c", 3, 0.1, 9)
    assert undominated([c, b, a]) == [a, c]


def test_budgets_that_nothing_keeps():
    matrices = random_matrices(1)
    assert solve(matrices, Budget(nbytes=0.5)) is None
    assert solve([[], *matrices], Budget(error=1.0)) is None


def test_a_large_model_is_solved_soon():
    plan = solve(random_matrices(3, matrices=300, options=40), Budget(error=1e-3))
    assert plan is not None and plan.error <= 1e-3 and len(plan.chosen) == 300
