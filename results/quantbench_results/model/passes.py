# SPDX-License-Identifier: Apache-2.0
"""Holds the sums of single measurements to a whole pass: a small C++ program (examples/model_pass.cc)
runs the model's products one after another with cold weights, as a decoder does."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from quantbench_results import runs, summary
from quantbench_results.errors import ResultsError
from quantbench_results.model.choices import storages
from quantbench_results.model.totals import Record

PASSES = 25
ROUNDS = 5
"""Runs of every choice, in turns, so that a disturbance of some seconds hits all of them alike: the fastest
run counts, since a disturbance only adds."""
MOST_OFF = 0.15
"""Beyond this share a pass does not bear out the sum."""


@dataclass(frozen=True)
class Pass:
    """A choice for each matrix: what was summed up, and what one pass took."""

    name: str
    m: int
    summed_ns: float
    measured_ns: float

    @property
    def off(self) -> float:
        """By how much the pass took longer than the sum, as a share of the sum."""
        return self.measured_ns / self.summed_ns - 1

    def text(self) -> str:
        return (
            f"  {self.name}: {summary.time_text(self.measured_ns)} in a pass, "
            f"{summary.time_text(self.summed_ns)} summed up ({100 * self.off:+.0f} %)"
            + (f", more than {100 * MOST_OFF:.0f} % off" if abs(self.off) > MOST_OFF else "")
        )


def verdict(found: Sequence[Pass]) -> str:
    """How many of the passes bear out their sums."""
    near = sum(abs(entry.off) <= MOST_OFF for entry in found)
    return f"  {near} of {len(found)} are within {100 * MOST_OFF:.0f} %"


def in_turns(
    program: str, records: Sequence[Record], choices: Sequence[Sequence[str]], m: int, threads: int
) -> list[float]:
    """Nanoseconds of a pass of each list of choices: of the rounds the least disturbed. ResultsError if the
    program fails."""
    rounds = [[measure(program, records, chosen, m, threads) for chosen in choices] for _ in range(ROUNDS)]
    return [min(of_one) for of_one in zip(*rounds, strict=True)]


def lines(records: Sequence[Record], choices: Sequence[str]) -> str:
    """What model_pass reads: arithmetic, format, group, N and K of each matrix."""
    found = []
    for record, choice in zip(records, choices, strict=True):
        arithmetic, _, name = choice.partition(".")
        storage = storages()[name]
        found.append(f"{arithmetic} {storage.format} {storage.group or 0} {record['n']} {record['k']}")
    return "\n".join(found) + "\n"


def measure(
    program: str, records: Sequence[Record], choices: Sequence[str], m: int, threads: int
) -> float:
    """Nanoseconds of a pass. ResultsError if the program fails."""
    program = runs.program(program)
    try:
        done = subprocess.run(
            [program, str(m), str(threads), str(PASSES)], input=lines(records, choices),
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        ns = float(done.stdout)
    except OSError as error:
        raise ResultsError(program, f"can't run: {error.strerror}") from None
    except ValueError:
        ns = 0.0
    if done.returncode or not 0 < ns < 1e15:
        last = (done.stderr.strip().splitlines() or ["it printed no time"])[-1]
        raise ResultsError(program, f"exit status {done.returncode}: {last}")
    return ns
