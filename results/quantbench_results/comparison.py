# SPDX-License-Identifier: Apache-2.0
"""The statistics of quantbench-compare: per row a ratio, its interval, and a verdict.

What varies most between two runs of one binary is the process: where its memory lies, and what the
neighbours of the machine do meanwhile. So a process is one observation. Its value is that of its
fastest repetition, since interruptions only ever add, and repetitions are never taken for independent.

In turns (old, new, new, old, ...): each round gives one log ratio, and drift hits both of its sides.
The estimate is the mean of the rounds' log ratios with the outer fifth cut off at each end, with
Yuen's standard error; the p value and the interval are Student's. Percentile intervals of a bootstrap
over few rounds are far too narrow. The noise floor of a row is twice the error of an A/A comparison:
every second round, the runs of one side that follow each other are such a comparison.

By files: Welch's test between the files of the two sides, and beyond it the floor DRIFT, since
nothing in the files tells what changed on the machine between the two sides.

One file a side: nothing tells the spread between processes, and nothing is decided. (Single runs of
one binary, minutes apart on a shared machine, have differed by a factor of 3.8.)

Many rows are compared at once, so p values are corrected by Benjamini and Hochberg. A row is faster or
slower if its corrected p value is small and its change exceeds the floor; the same if the interval lies
within the margin; and undecided otherwise, which is not the same as the same.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from quantbench_results.rows import Results, Row

DRIFT = 0.25
"""What may change between the runs of one side and those of the other, if they took no turns."""
LEAST_NOISE = 0.01
"""No timer or placement effect below it is believed."""
MARGIN = 0.05
"""A row whose interval lies within this is the same."""
TRIM = 0.2
"""The share of rounds that is cut off at each end: a neighbour's burst hits one or two."""

CHANGED = ("faster", "slower")
WORDS = (*CHANGED, "same", "undecided", "lost", "failed", "not comparable")


@dataclass(frozen=True)
class Verdict:
    """One row of the comparison. Ratios are new over old time: above 1 is slower."""

    name: str
    op: str
    ratio: float = math.nan
    low: float = math.nan
    high: float = math.nan
    word: str = "not comparable"
    """One of WORDS. lost: the old side has the row in every run, the new one in none; failed: it
    failed on the new side; not comparable: it is missing or failed on the old side."""
    why: str = ""
    p: float = math.nan
    floor: float = math.nan
    """The change that this row shows by itself."""
    rounds: tuple[float, ...] = ()
    """Log ratios of the rounds, where the sides took turns."""

    @property
    def weight(self) -> float:
        """What matters first: certain and large changes."""
        return abs(math.log(self.ratio)) if self.word in CHANGED else 0.0


@dataclass(frozen=True)
class Settings:
    """What a comparison holds its rows to."""

    confidence: float = 0.95
    margin: float = MARGIN
    noise: float | None = None
    """A floor in place of the estimated one."""
    measure: str = ""
    """cycles, time or a counter; by default cycles where the files tell the clock."""
    turns: bool = False
    """Whether file i of one side ran next to file i of the other."""


def measure_of(files: Sequence[Results]) -> str:
    """ "cycles" if every row tells the clock that was measured beside it, otherwise "time"."""
    rows = [row for results in files for row in results.rows if not row.failed]
    return "cycles" if rows and all(row.counters.get("clock_ghz") for row in rows) else "time"


def value_of(row: Row, measure: str) -> float | None:
    """What one process says of a row: of its fastest repetition, as the logarithm."""
    if measure == "time":
        values = list(row.times_ns)
    elif measure == "cycles":
        # The highest clock of the row's repetitions: what interrupts that measurement lowers it.
        clock = max(row.counters.get("clock_ghz", ()), default=0.0)
        values = [time * clock for time in row.times_ns]
    else:  # Across machines: inverse of a share or a speed-up, so that above 1 is worse there too.
        values = [1 / value for value in row.counters.get(measure, ()) if value > 0]
    values = [value for value in values if value > 0]
    return math.log(min(values)) if values and row.claims_timing else None


def compare(
    old: Sequence[Results], new: Sequence[Results], settings: Settings | None = None
) -> list[Verdict]:
    """A verdict for each row of either side, those that matter first."""
    settings = settings or Settings()
    measure = settings.measure or measure_of([*old, *new])
    sides = [[results.by_name for results in side] for side in (old, new)]
    names = dict.fromkeys(row.name for results in (*old, *new) for row in results.rows)
    found = [_row_verdict(name, sides[0], sides[1], measure, settings) for name in names]
    found = _decide(found, settings)
    return sorted(found, key=lambda v: (-v.weight, WORDS.index(v.word), v.name))


def _row_verdict(
    name: str,
    old: Sequence[Mapping[str, Row]],
    new: Sequence[Mapping[str, Row]],
    measure: str,
    settings: Settings,
) -> Verdict:
    """The row's ratio, interval, p value and floor, or why it has none."""
    op = name.split("/", 1)[0]
    failed = [
        next((f[name].error for f in side if name in f and f[name].failed), "")
        for side in (old, new)
    ]
    if failed[1]:
        return Verdict(name, op, word="failed", why=f"failed in the new run: {failed[1]}")
    if failed[0]:
        return Verdict(name, op, why=f"failed in the old run: {failed[0]}")
    values = [
        [value_of(f[name], measure) if name in f else None for f in side] for side in (old, new)
    ]
    counts = [sum(value is not None for value in side) for side in values]
    if not all(counts):
        lost = counts[0] == len(old) and not counts[1] and not _moved(name, old, new)
        side = "new" if counts[0] else "old"
        return Verdict(
            name, op, word="lost" if lost else "not comparable", why=f"missing in the {side} run"
        )
    if settings.turns:
        return _in_turns(name, op, values[0], values[1], settings)
    left, right = ([value for value in side if value is not None] for side in values)
    return _by_files(name, op, np.array(left), np.array(right), settings)


def _moved(name: str, old: Sequence[Mapping[str, Row]], new: Sequence[Mapping[str, Row]]) -> bool:
    """Whether the new side timed the same variant at a shape that the old one did not: sizes follow
    from the caches that each run measures."""
    row = next(rows[name] for rows in old if name in rows)
    known = {other for rows in old for other in rows}
    return any(
        (other.op, other.format, other.variant, other.threads)
        == (row.op, row.format, row.variant, row.threads)
        and other.name not in known
        and not other.failed
        for rows in new
        for other in rows.values()
    )


def _in_turns(
    name: str,
    op: str,
    old: Sequence[float | None],
    new: Sequence[float | None],
    settings: Settings,
) -> Verdict:
    ratios = np.array(
        [b - a for a, b in zip(old, new, strict=True) if a is not None and b is not None]
    )
    if len(ratios) < 2:
        return Verdict(name, op, why="in fewer than two rounds on both sides")
    center, error, freedom = trimmed(ratios)
    reach = float(stats.t.ppf((1 + settings.confidence) / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(center) / error, freedom)) if error else 0.0 if center else 1.0
    floor = max(LEAST_NOISE, 2 * same_side_error(old, new, len(ratios)))
    return Verdict(
        name, op, math.exp(center), math.exp(center - reach), math.exp(center + reach),
        p=p, floor=floor, rounds=tuple(float(ratio) for ratio in ratios),
    )  # fmt: skip


def trimmed(values: np.ndarray) -> tuple[float, float, float]:
    """The mean without the outer fifths, Yuen's standard error of it, and its degrees of freedom."""
    cut = int(TRIM * len(values))
    center = float(stats.trim_mean(values, TRIM))
    spread = float(stats.mstats.winsorize(values, limits=(TRIM, TRIM)).std(ddof=1))
    return (
        center,
        spread / ((1 - 2 * cut / len(values)) * math.sqrt(len(values))),
        len(values) - 2 * cut - 1,
    )


def same_side_error(old: Sequence[float | None], new: Sequence[float | None], rounds: int) -> float:
    """The error of so many rounds by A/A comparisons: in every second round the runs of one side
    stand beside each other (old new, new old), and differ by nothing but noise."""
    differences = [
        side[i + 1] - side[i]
        for side in (old, new)
        for i in range(0, len(side) - 1, 2)
        if side[i] is not None and side[i + 1] is not None
    ]
    if not differences:
        return 0.0
    middle = statistics.median(abs(difference) for difference in differences)
    return 1.4826 * middle / math.sqrt(rounds)


def _by_files(name: str, op: str, old: np.ndarray, new: np.ndarray, settings: Settings) -> Verdict:
    center = float(new.mean() - old.mean())
    if settings.noise is not None:  # who knows the machine's noise needs no estimate of it
        floor, reach = settings.noise, 0.0
        p = 0.0 if abs(center) > math.log1p(floor) else 1.0
    elif min(len(old), len(new)) < 2:
        floor, reach, p = math.inf, math.inf, 1.0
    elif np.ptp(old) == np.ptp(new) == 0:
        floor, reach, p = DRIFT, math.log1p(DRIFT), 0.0 if center else 1.0
    else:
        test = stats.ttest_ind(new, old, equal_var=False)
        interval = test.confidence_interval(settings.confidence)
        floor, p = DRIFT, float(test.pvalue)
        reach = float(interval.high) - center + math.log1p(DRIFT)
    low, high = math.exp(center - reach), math.exp(center + reach) if reach < math.inf else math.inf
    return Verdict(name, op, math.exp(center), low, high, p=p, floor=floor)


def _decide(found: Sequence[Verdict], settings: Settings) -> list[Verdict]:
    """The words of the rows that could be compared, with all of their p values corrected at once."""
    compared = [v for v in found if math.isfinite(v.ratio)]
    if not compared:
        return list(found)
    corrected = stats.false_discovery_control([v.p for v in compared], method="bh")
    words = {v.name: _word(v, float(q), settings) for v, q in zip(compared, corrected, strict=True)}
    return [replace(v, word=words.get(v.name, v.word)) for v in found]


def _word(v: Verdict, q: float, settings: Settings) -> str:
    floor = v.floor if settings.noise is None else settings.noise
    if q <= 1 - settings.confidence and abs(math.log(v.ratio)) > math.log1p(floor):
        return "slower" if v.ratio > 1 else "faster"
    edge = math.log1p(max(settings.margin, settings.noise or 0.0))
    within = math.exp(-edge) <= v.low and v.high <= math.exp(edge)
    return "same" if within else "undecided"


@dataclass(frozen=True)
class Mean:
    """The geometric mean of an operation's ratios."""

    ratio: float
    rows: int
    low: float = math.nan
    high: float = math.nan


def geometric_means(verdicts: Sequence[Verdict], confidence: float = 0.95) -> dict[str, Mean]:
    """Per operation the geometric mean of the ratios; where the sides took turns with an interval, for
    which whole rounds are drawn again: the rows of a round are not independent."""
    groups: dict[str, list[Verdict]] = {}
    for v in verdicts:
        if math.isfinite(v.ratio):
            groups.setdefault(v.op, []).append(v)
    found = {}
    for op, rows in groups.items():
        mean = Mean(math.exp(statistics.fmean(math.log(v.ratio) for v in rows)), len(rows))
        rounds = max(len(v.rounds) for v in rows)
        whole = [v.rounds for v in rows if len(v.rounds) == rounds]
        if rounds >= 3:
            interval = stats.bootstrap(
                (np.array(whole).mean(axis=0),), np.mean, confidence_level=confidence,
                method="percentile", rng=np.random.default_rng(2135),
            ).confidence_interval  # fmt: skip
            mean = replace(mean, low=math.exp(interval.low), high=math.exp(interval.high))
        found[op] = mean
    return found
