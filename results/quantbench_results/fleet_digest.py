# SPDX-License-Identifier: Apache-2.0
"""What a report on many machines keeps of one results file, so that hundreds fit into memory.

A digest is made in a process of its own, next to others; whatever is wrong with a file is said in it.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from quantbench_results import load, rules, state, summary, validate
from quantbench_results.errors import ResultsError
from quantbench_results.rows import Results, Row
from quantbench_results.store import NODE, cpu_slug, machine_id
from quantbench_results.text import printable
from quantbench_results.validate import CONTRADICTION, Finding

CLOCK_WINDOWS = 20
"""A run's rows are cut into as many equal parts, in their order, to see its clock change."""

Place = tuple[str, str, str]
"""An operation, a format and a size class: what a line of the fleet's tables is about."""


@dataclass(frozen=True)
class Cell:
    """The best of our variants at one place of one machine."""

    variant: str
    """The variant that is best at most of the place's sizes."""
    equals: tuple[str, ...]
    """Variants that tie with the best at all of the place's sizes, the best included."""
    share: float | None
    """Percent of the measured limit: the geometric mean over the place's sizes."""
    rate: float
    """Bytes or operations a second: the geometric mean."""


@dataclass(frozen=True)
class Digest:
    """One file: who made it, in what state it is, and the best of each place."""

    where: str
    """The file's path as it may be shown."""
    problem: str = ""
    """Why nothing of it is shown; empty if it is."""
    content: str = ""
    """The same for files with the same figures."""
    run: tuple[str, str, str] = ("", "", "")
    """Machine, date and revision: the same for files that claim to be the same run."""
    machine: str = ""
    node: str = ""
    """What its owner calls the machine; empty if the file does not say."""
    cpu: str = ""
    family: str = ""
    level: str = ""
    kind: str = ""
    """The same for machines that can be compared: CPU, stepping, instruction sets."""
    index: tuple[str, ...] = ()
    """The cells of the file's line in the list of stored files, but for the path."""
    complete: bool = False
    marks: tuple[str, ...] = ()
    places: dict[Place, Cell] = field(default_factory=dict)
    memory: float | None = None
    """Bytes a second that one thread reads from beyond the caches."""
    clocks: tuple[float, ...] = ()
    """Median GHz of each part of the run."""
    wrong: tuple[tuple[str, str], ...] = ()
    """Rows that failed, and why."""
    passed: frozenset[tuple[str, str, str]] = frozenset()
    """(operation, format, variant) of rows that were verified."""

    @property
    def clock(self) -> float | None:
        return statistics.median(self.clocks) if self.clocks else None


def digest(path: Path) -> Digest:
    """What the report keeps of a file; never an exception for what a stranger's file holds."""
    where = printable(str(path), 300)
    try:
        results = load.load(path)
    except ResultsError as error:
        return Digest(where, problem=printable(error.problem, 300))
    found = validate.validate(results)
    known = _facts(where, results, found)
    problem = _problem(results, found)
    return replace(known, problem=problem) if problem else _measured(known, results, found)


def _problem(results: Results, found: Sequence[Finding]) -> str:
    if results.emulated:
        return "emulated: it makes no claim about time"
    if not results.claims_timing:
        return "a smoke run: it makes no claim about time"
    whole = [finding for finding in validate.errors(found) if not finding.rows]
    return printable(whole[0].what, 300) if whole else ""


def _facts(where: str, results: Results, found: Sequence[Finding]) -> Digest:
    level = printable(results.text("isa_best_level", ""), 40)
    family = printable(results.text("cpu_family_model_stepping", ""), 40)
    cpu = printable(results.text("cpu_name", "unknown CPU"), 60)
    machine = machine_id(results)
    return Digest(
        where,
        content=_content(results),
        run=(machine, results.text("date"), results.revision),
        machine=machine,
        node=printable(results.text(NODE, ""), 40),
        cpu=cpu,
        family=family,
        level=level,
        kind="\n".join((cpu_slug(results.context), cpu, family, results.text("isa_enabled"))),
        index=_index_cells(results, state.text_of(results, found)),
        complete=results.complete,
        marks=tuple(state.marks(results, found)),
    )


def _content(results: Results) -> str:
    figures = sorted((row.name, row.times_ns, row.error) for row in results.rows)
    return hashlib.sha256(repr(figures).encode()).hexdigest()


def _index_cells(results: Results, run: str) -> tuple[str, ...]:
    return (
        results.text("cpu_name"),
        results.text("isa_enabled"),
        results.text("compiler"),
        results.text("date")[:10],
        results.revision[:12],
        str(len(results.rows)),
        str(sum(row.failed for row in results.rows)),
        run,
        _peers_timed(results),
    )


def _peers_timed(results: Results) -> str:
    """By which method: only turns are fair to short calls."""
    if not any(row.is_peer for row in results.rows):
        return "\N{EN DASH}"
    turns = any(rules.over_peer(row) for row in results.rows)
    return "in turns" if turns else "in rows of their own (older method)"


def _measured(known: Digest, results: Results, found: Sequence[Finding]) -> Digest:
    """With the figures. Rows in which an error was found compete for nothing."""
    bad = {row for finding in validate.errors(found) for row in finding.rows}
    doubted = any(f.what.startswith(CONTRADICTION) for f in validate.errors(found))
    rows = [row for row in results.rows if row.name not in bad and row.is_ours]
    groups: dict[Place, list[summary.Best]] = {}
    for best in summary.best_variants(rows) if not doubted else ():
        if best.row.threads == 1:
            groups.setdefault(place_of(best.row, results), []).append(best)
    return replace(
        known,
        places={place: _cell(group) for place, group in groups.items()},
        memory=_memory(results),
        clocks=_clocks(results.rows),
        wrong=tuple((row.name, row.error) for row in results.rows if row.failed),
        passed=frozenset(
            (row.op, row.format, row.variant) for row in rows if row.verified and not row.failed
        ),
    )


def place_of(row: Row, results: Results) -> Place:
    if not summary.is_arithmetic(row):
        return row.op, row.format, summary.size_class(row, results)
    cold = "cold, " if row.cold else ""
    return row.op, row.format, f"{cold}m = 1" if row.dims.get("m") == 1 else f"{cold}m > 1"


def _cell(group: Sequence[summary.Best]) -> Cell:
    names = [best.row.variant for best in group]
    equal = [{best.row.variant, *(tie.variant for tie in best.ties)} for best in group]
    shares = [share for best in group if (share := summary.share(best.row))]
    rates = [rate for best in group if (rate := summary.speed(best.row))]
    return Cell(
        max(dict.fromkeys(names), key=names.count),
        tuple(sorted(set.intersection(*equal))),
        summary.geometric_mean(shares) if shares else None,
        summary.geometric_mean(rates),
    )


def _memory(results: Results) -> float | None:
    """The bandwidth of the three largest working sets that one thread read."""
    found: dict[int, float] = {}
    for label, rate in results.limits.items():
        kind, _, rest = label.partition("/bytes:")
        size, _, threads = rest.partition("/threads:")
        if kind == "bandwidth_1r0w" and threads == "1" and size.isdecimal() and len(size) < 16:
            found[int(size)] = rate
    largest = [found[size] for size in sorted(found)[-3:]]
    return statistics.median(largest) if largest else None


def _clocks(rows: Sequence[Row]) -> tuple[float, ...]:
    clocks = [clock for row in rows if (clock := row.counter("clock_ghz")) and clock > 0]
    if len(clocks) < 2 * CLOCK_WINDOWS:
        return (statistics.median(clocks),) if clocks else ()
    cuts = [len(clocks) * part // CLOCK_WINDOWS for part in range(CLOCK_WINDOWS + 1)]
    return tuple(
        statistics.median(clocks[low:high]) for low, high in zip(cuts[:-1], cuts[1:], strict=True)
    )
