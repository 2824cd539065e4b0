# SPDX-License-Identifier: Apache-2.0
"""The summary of many machines in Markdown: what is odd, best variants, machines, what is left out."""

from __future__ import annotations

from quantbench_results import fleet, fleet_tables
from quantbench_results.fleet import Fleet
from quantbench_results.fleet_outliers import outliers
from quantbench_results.markdown import md_table
from quantbench_results.summary import scaled


def fleet_markdown(found: Fleet) -> str:
    out = [f"# quantbench results: {fleet.count_text(found)}", "", "## What is odd", ""]
    odd = outliers(found)
    if odd:
        out += md_table(("machine", "what", "how"), ((o.machine, o.what, o.text) for o in odd))
    else:
        out += ["No machine differs from the others of its kind.", ""]
    out += ["## Which variant is best", "", "At so many places (operation, format, class of sizes), one "
            "thread:", ""]  # fmt: skip
    at = fleet_tables.places(found)
    out += md_table(
        ("kind of machine", "machines", "best"),
        (
            (
                kind.label,
                len(kind.members),
                ", ".join(
                    f"{variant} {count}" for variant, count in fleet_tables.victories(kind, at)
                ),
            )
            for kind in found.kinds
        ),
    )
    out += ["## Machines", ""]
    out += md_table(
        ("machine", "instruction sets to", "memory", "clock", "files", "run", "shown from"),
        (
            (
                member.label,
                member.digest.level,
                scaled(member.digest.memory, "B/s"),
                scaled(member.digest.clock and member.digest.clock * 1e9, "Hz"),
                member.files,
                ", ".join(member.digest.marks) or "complete",
                member.digest.where,
            )
            for member in found.members
        ),
    )
    left = [(digest.where, digest.problem) for digest in found.rejected]
    left += [(where, f"a copy of {first}") for where, first in found.copies]
    if left:
        out += ["## Not shown", "", *md_table(("file", "why"), left)]
    return "\n".join(out).rstrip() + "\n"
