# SPDX-License-Identifier: Apache-2.0
"""What is odd about a machine beside the others of its kind.

Figures are compared within a kind of machine (same CPU, stepping, instruction sets), by the modified
z score of Iglewicz and Hoaglin on logarithms: the distance from the median over the median absolute
deviation. A machine is named if the score is beyond 3.5 and the difference beyond a tenth. With fewer
than five machines of a kind nothing is said, for nothing is known of what is usual.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from quantbench_results.fleet import Fleet, Kind, Member
from quantbench_results.fleet_digest import Digest, Place
from quantbench_results.summary import scaled

LEAST_MACHINES = 5
MOST_SCORE = 3.5
LEAST_CHANGE = 0.10
"""Machines of one kind differ by a few percent in what their neighbours do."""
LEAST_DEVIATION = 0.02
"""A group that happens to agree to the last digit does not make 3 % an outlier."""
CLOCK_DROP = 0.88
"""A part of a run with a clock below this share of the run's usual one is a drop."""
LEAST_PLACES = 0.1
"""Slow kernels are only named one by one on a machine that is not slow at more of its places."""


@dataclass(frozen=True)
class Outlier:
    machine: str
    what: str
    """memory, clock, kernel, speed"""
    text: str


def outliers(fleet: Fleet) -> list[Outlier]:
    """All that is odd, the gravest first: wrong kernels, then clock, memory, speed."""
    found = list(_wrong_kernels(fleet))
    for kind in fleet.kinds:
        found += _clock_drops(kind)
        found += _slow(kind, "clock", "clock", "Hz", [(m, _hertz(m.digest)) for m in kind.members])
        memories = [(m, m.digest.memory) for m in kind.members]
        found += _slow(kind, "memory", "memory that one thread reads", "B/s", memories)
        found += _slow_places(kind, {outlier.machine for outlier in found})
    order = ("kernel", "clock", "memory", "speed")
    return sorted(found, key=lambda outlier: order.index(outlier.what))


def _hertz(found: Digest) -> float | None:
    """The clock of the faster half of the run: a drop is told apart."""
    clocks = sorted(found.clocks)
    return statistics.median(clocks[len(clocks) // 2 :]) * 1e9 if clocks else None


def low_ones(values: Sequence[float]) -> list[int]:
    """Which of these values of one kind of machine are far below the others."""
    if len(values) < LEAST_MACHINES:
        return []
    logs = np.log(np.asarray(values))
    middle = float(np.median(logs))
    deviation = float(stats.median_abs_deviation(logs, scale="normal"))
    scores = (logs - middle) / max(deviation, LEAST_DEVIATION)
    least = math.log1p(-LEAST_CHANGE)
    return [i for i, score in enumerate(scores) if score < -MOST_SCORE and logs[i] - middle < least]


def _slow(
    kind: Kind, what: str, name: str, unit: str, pairs: Iterable[tuple[Member, float | None]]
) -> Iterator[Outlier]:
    known = [(member, value) for member, value in pairs if value]
    if not known:
        return
    usual = statistics.median(value for _, value in known)
    for index in low_ones([value for _, value in known]):
        member, value = known[index]
        yield Outlier(
            member.label,
            what,
            f"{name}: {scaled(value, unit)}, where {len(known)} machines of {kind.label} have "
            f"{scaled(usual, unit)} in the median",
        )


def _clock_drops(kind: Kind) -> Iterator[Outlier]:
    """The clock within a run, beside what the other machines' clock does at the same part of it:
    wide vectors lower it everywhere."""
    known = [member for member in kind.members if len(member.digest.clocks) > 1]
    relative = [_relative(member.digest.clocks) for member in known]
    enough = len(known) >= LEAST_MACHINES
    usual = np.median(np.asarray(relative), axis=0) if enough else None
    for member, clocks in zip(known, relative, strict=True):
        beside = clocks / usual if usual is not None else clocks
        low = np.flatnonzero(beside < CLOCK_DROP)
        if low.size < 2:  # a single part is a neighbour's burst
            continue
        full = member.digest.clocks
        yield Outlier(
            member.label,
            "clock",
            f"its clock drops from {max(full):.2f} to {min(full[i] for i in low):.2f} GHz, "
            f"from {100 * int(low[0]) // len(full)} % of the run on",
        )


def _relative(clocks: Sequence[float]) -> Any:
    """An array of shares of the usual clock."""
    found = np.asarray(clocks)
    return found / np.quantile(found, 0.75)


def _wrong_kernels(fleet: Fleet) -> Iterator[Outlier]:
    """Rows that failed, and on how many other machines of the kind the same kernel is right."""
    for kind in fleet.kinds:
        for member in kind.members:
            named: dict[tuple[str, str, str], str] = {}
            for name, why in member.digest.wrong:
                op, format_, variant = name.split("/")[:3]
                named.setdefault((op, format_, variant), why)
            for kernel, why in named.items():
                right = sum(
                    kernel in other.digest.passed for other in kind.members if other is not member
                )
                beside = (
                    f"right on {right} other machines of the kind"
                    if right
                    else "no other machine of the kind has it right"
                )
                yield Outlier(member.label, "kernel", f"{'/'.join(kernel)}: {why[:160]} ({beside})")


def _slow_places(kind: Kind, explained: set[str]) -> Iterator[Outlier]:
    """Operations that are slow on a machine of which nothing else was found."""
    slow: dict[str, list[tuple[float, Place]]] = {}
    count = 0
    # An interrupted run has only some of a place's sizes.
    whole = [member for member in kind.members if member.digest.complete]
    for place in dict.fromkeys(place for m in whole for place in m.digest.places):
        have = [m for m in whole if place in m.digest.places]
        rates = [m.digest.places[place].rate for m in have]
        count += 1
        usual = statistics.median(rates)
        for index in low_ones(rates):
            slow.setdefault(have[index].label, []).append((rates[index] / usual, place))
    for label, places in slow.items():
        if label in explained:
            continue
        share, worst = min(places)
        text = f"{' '.join(worst)}: {100 * share:.0f} % of the kind's usual rate"
        if len(places) > max(LEAST_PLACES * count, 1):
            text = f"slow at {len(places)} of {count} places; most of all {text}"
        yield Outlier(label, "speed", text)
