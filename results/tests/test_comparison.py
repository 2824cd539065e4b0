# SPDX-License-Identifier: Apache-2.0
"""comparison.py on made-up runs with the noise of real machines: how many false alarms, what is found.

A run is a process: its rows differ from those of the next process (where memory lies), more so the
further from the core the data are, and one row in twenty meets a neighbour's burst of up to 25 %. All
rows of a round share its drift of 3 %. Repetitions within a process differ far less than processes.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from quantbench_results import comparison
from quantbench_results.comparison import CHANGED, Settings, compare
from quantbench_results.rows import Results, Row

PLACES = {"L1": 0.004, "L2": 0.008, "L3": 0.015, "memory": 0.02}
NAMES = [f"absmax/f32/v{i}/n:{4096 << (i % 4)}" for i in range(64)]
PLANTED = frozenset(NAMES[:4])


def process(random, drift, slow=frozenset(), factor=1.05):
    rows = []
    for i, name in enumerate(NAMES):
        spread = list(PLACES.values())[i % 4]
        base = 1000 * (1 + drift) * math.exp(random.normal(0, spread))
        base *= 1 + random.uniform(0, 0.25) * (random.random() < 0.05)
        base *= factor if name in slow else 1
        times = tuple(base * (1 + abs(random.normal(0, 0.01))) for _ in range(5))
        rows.append(Row(name, "absmax", "f32", f"v{i}", name.rsplit("/", 1)[1], 1, times))
    return Results(Path("made up"), {}, tuple(rows))


def in_turns(seed, rounds, slow=frozenset()):
    random = np.random.default_rng(seed)
    old, new = [], []
    for _ in range(rounds):
        drift = random.normal(0, 0.03)
        old.append(process(random, drift))
        new.append(process(random, drift, slow))
    return compare(old, new, Settings(turns=True))


def by_files(seed, count, slow=frozenset()):
    random = np.random.default_rng(seed)
    drifts = random.normal(0, 0.03, 2)
    sides = [[process(random, drift, rows) for _ in range(count)]
             for drift, rows in zip(drifts, (frozenset(), slow), strict=True)]  # fmt: skip
    return compare(*sides)


def fails_gate(verdicts):
    return any(v.word == "slower" and v.ratio > 1.05 for v in verdicts)


@pytest.mark.parametrize("rounds", [4, 8, 16])
def test_ten_comparisons_of_one_binary_in_turns(rounds):
    found = [in_turns(seed, rounds) for seed in range(10)]
    changed = sum(v.word in CHANGED for verdicts in found for v in verdicts)
    assert changed <= 10 * len(NAMES) / 40
    assert not any(map(fails_gate, found))


@pytest.mark.parametrize("count", [1, 3])
def test_ten_comparisons_of_one_binary_by_files(count):
    found = [by_files(seed, count) for seed in range(10)]
    changed = sum(v.word in CHANGED for verdicts in found for v in verdicts)
    assert changed <= 10 * len(NAMES) / 40
    assert not any(map(fails_gate, found))


def test_slow_downs_of_5_percent_are_found_nine_times_in_ten():
    found = [{v.name: v for v in in_turns(100 + seed, 20, PLANTED)} for seed in range(10)]
    for name in PLANTED:
        assert sum(verdicts[name].word == "slower" for verdicts in found) >= 9, name
    others = sum(v.word in CHANGED for verdicts in found for v in verdicts.values()
                 if v.name not in PLANTED)  # fmt: skip
    assert others <= 10 * len(NAMES) / 40


def test_a_row_that_can_not_be_decided_is_not_the_same():
    verdicts = in_turns(0, 4)
    words = {v.word for v in verdicts}
    assert words <= {"same", "undecided"} and "undecided" in words
    for v in verdicts:
        inside = math.log(v.high) <= math.log1p(0.05) and -math.log1p(0.05) <= math.log(v.low)
        assert (v.word == "same") == inside
    assert {v.word for v in by_files(0, 1)} == {"undecided"}


def test_repetitions_are_not_taken_for_independent():
    """Of two processes that differ by 3 % as processes do, any number of repetitions says nothing."""

    def files(factor, count):
        times = tuple(factor * (1000 + i % 5) for i in range(1000))
        row = Row("a/b/c/n:1", "a", "b", "c", "n:1", 1, times)
        return [Results(Path("x"), {}, (row,))] * count

    (verdict,) = compare(files(1, 1), files(1.03, 1))
    assert verdict.word == "undecided"


def test_whole_rounds_are_drawn_for_the_mean_of_an_operation():
    """Rows of a round share its luck: the mean of many rows is no more certain than its rounds."""
    shared = [0.05, -0.05, 0.06, -0.06, 0.04, -0.04]
    verdicts = [comparison.Verdict(str(i), "op", 1.0, 0.9, 1.1, rounds=tuple(shared))
                for i in range(50)]  # fmt: skip
    mean = comparison.geometric_means(verdicts)["op"]
    assert mean.rows == 50 and mean.low < 0.98 < 1.02 < mean.high


def test_noise_floor_of_a_row_is_that_of_its_own_runs():
    steady = [0.0, 0.001] * 4
    wild = [0.0, 0.2, 0.05, 0.3, 0.0, 0.25, 0.1, 0.0]
    assert comparison.same_side_error(steady, steady, 8) < 0.001
    assert comparison.same_side_error(wild, wild, 8) > 0.05


def test_many_rows_are_corrected_for():
    """One row in twenty has p < 0.05 of itself: among a thousand rows none of these is a change."""
    random = np.random.default_rng(1)
    rounds = random.normal(0, 0.02, (1000, 12))
    names = [f"a/b/v{i}/n:1" for i in range(1000)]

    def side(values):
        return [
            Results(Path("x"), {}, tuple(
                Row(name, "a", "b", f"v{i}", "n:1", 1, (1000 * math.exp(values[i, r]),))
                for i, name in enumerate(names)))
            for r in range(12)
        ]  # fmt: skip

    verdicts = compare(side(np.zeros_like(rounds)), side(rounds), Settings(turns=True))
    assert sum(v.p < 0.05 for v in verdicts) > 20
    assert sum(v.word in CHANGED for v in verdicts) == 0
