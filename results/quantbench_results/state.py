# SPDX-License-Identifier: Apache-2.0
"""In what state a run's file is: whole, interrupted, of a changed tree, or changed by hand."""

from __future__ import annotations

from collections.abc import Sequence

from quantbench_results import validate
from quantbench_results.rows import Results
from quantbench_results.validate import CONTRADICTION, Finding

CHANGED_BY_HAND = "changed by hand?"


def marks(results: Results, findings: Sequence[Finding]) -> list[str]:
    """What a reader must know before any figure of the file; empty if all is well."""
    found = validate.errors(findings)
    said = [] if results.complete else ["interrupted"]
    if results.text("git_dirty", "no") == "yes":
        said.append("changed tree")
    contradicting = {row for f in found if f.what.startswith(CONTRADICTION) for row in f.rows}
    if contradicting:
        rows = f"{len(contradicting)} row" + ("s contradict themselves" if len(contradicting) > 1
                                              else " contradicts itself")  # fmt: skip
        said.append(f"{CHANGED_BY_HAND} {rows}")
    others = sum(not f.what.startswith(CONTRADICTION) for f in found)
    if others:
        said.append(f"{others} failed check" + ("s" if others > 1 else ""))
    return said


def text(results: Results) -> str:
    """The state in a cell of a table."""
    return text_of(results, validate.validate(results))


def text_of(results: Results, findings: Sequence[Finding]) -> str:
    whole = ["complete"] if results.complete else []
    return ", ".join([*whole, *marks(results, findings)])
