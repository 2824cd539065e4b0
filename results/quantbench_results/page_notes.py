# SPDX-License-Identifier: Apache-2.0
"""The page's last sections: what was skipped, what failed, checks, the machine, how to read."""

from __future__ import annotations

from collections.abc import Sequence

from quantbench_results import rules, summary, validate
from quantbench_results.figures.base import Machine
from quantbench_results.page_parts import breakable, counted, folded, head
from quantbench_results.rows import Results
from quantbench_results.store import machine_id
from quantbench_results.tables import DASH, LOADED_NUMBERS, LOADED_TITLES, loaded_cells
from quantbench_results.text import attribute, printable


def skipped_section(machines: Sequence[Machine]) -> str:
    lines = [
        f"<tr><td>{attribute(machine.label)}</td><td>{attribute(level)}</td><td class=wrap>{attribute(why)}</td></tr>"
        for machine in machines
        for level, why in machine.results.refused.items()
    ]
    if not lines:
        content = '<p class="soft">Nothing: every instruction set of this architecture ran.</p>'
    else:
        content = (
            f'<div class="scroll"><table>{head(("machine", "variants for", "why not"))}'
            f"<tbody>{''.join(lines)}</tbody></table></div>"
        )
    note = counted(len(lines), "instruction set") if lines else "nothing"
    return folded("skipped", "Skipped, and why", content, note)


def failed_section(machines: Sequence[Machine]) -> str:
    lines = [
        f"<tr><td>{attribute(machine.label)}</td><td class=wrap>{attribute(row.name)}</td>"
        f"<td class=wrap>{attribute(printable(row.error, 2000))}</td></tr>"
        for machine in machines
        for row in machine.results.rows
        if row.failed
    ]
    content = (
        f'<div class="scroll"><table>{head(("machine", "row", "what happened"))}'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        if lines
        else '<p class="soft">Nothing.</p>'
    )
    return folded("failed", "Failed", content, counted(len(lines), "row") if lines else "nothing")


def loaded_section(machines: Sequence[Machine]) -> str:
    """Kernels of the user's own; nothing where there are none."""
    lines = [
        "<tr>"
        + f"<td>{attribute(machine.label)}</td>"
        + "".join(f"<td>{attribute(text)}</td>" for text in loaded_cells(row))
        + "</tr>"
        for machine in machines
        for row in summary.loaded(machine.results)
    ]
    if not lines:
        return ""
    titles = head(("machine", *LOADED_TITLES), [index + 1 for index in LOADED_NUMBERS])
    return (
        '<section id="loaded"><h2>Loaded kernels, beside the best of ours</h2>'
        f'<div class="scroll"><table>{titles}<tbody>{"".join(lines)}</tbody></table></div></section>'
    )


def checks_section(machines: Sequence[Machine]) -> str:
    lines = [
        f"<tr><td>{attribute(machine.label)}</td><td>{attribute(finding.level)}</td>"
        f"<td class=wrap>{attribute(str(finding).split(': ', 1)[-1])}</td></tr>"
        for machine in machines
        for finding in validate.validate(machine.results)
    ]
    content = (
        f'<div class="scroll"><table>{head(("machine", "", "finding"))}'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        if lines
        else '<p class="soft">quantbench-validate finds nothing wrong.</p>'
    )
    note = counted(len(lines), "finding") if lines else "nothing wrong"
    return folded("checks", "Checks of the file", content, note)


def context_section(machines: Sequence[Machine]) -> str:
    parts = []
    for machine in machines:
        results = machine.results
        pairs = []
        for key in sorted(results.context):
            if key in ("caches", "cpu_flags", "limits", "operations", "library_build_type"):
                continue
            if key.startswith("isa_refused_"):
                continue
            pairs.append(f"<dt>{attribute(key)}</dt><dd>{_value(results, key)}</dd>")
        limits = "".join(
            f"<dt>{attribute(label)}</dt><dd>"
            f"{summary.scaled(rate, 'B/s' if label.startswith('bandwidth') else 'op/s')}</dd>"
            for label, rate in results.limits.items()
        )
        flags = attribute(printable(results.text("cpu_flags", DASH), 20000))
        parts.append(
            f'<div class="machine"><h3>{attribute(machine.label)}</h3>'
            f'<p class="soft">From {attribute(printable(results.path.name))}; files of this machine '
            f"belong in <code>results/{attribute(machine_id(results))}/</code>.</p>"
            f"<dl>{''.join(pairs)}</dl>"
            f'<details class="flags"><summary>CPU flags</summary><p>{flags}</p></details>'
            f'<details class="flags"><summary>{len(results.limits)} measured limits</summary>'
            f"<dl>{limits}</dl></details></div>"
        )
    note = "CPU, compiler, settings of the run, measured limits"
    return folded("context", "The machine", "\n".join(parts), note)


def _value(results: Results, key: str) -> str:
    """A setting of the run; several of one name are a line each."""
    value = results.context[key]
    if not isinstance(value, dict):
        return breakable(printable(results.text(key, DASH)))
    return "<br>".join(
        f"{attribute(name)}: {breakable(printable(str(text)))}" for name, text in sorted(value.items())
    )


def reading_section() -> str:
    content = f"""<dl>
<dt>scalar</dt><dd>plain loops, the compiler's vectorisation off</dd>
<dt>autovec…</dt><dd>the same source, left to the compiler, for that instruction set</dd>
<dt>xsimd_…</dt><dd>portable vector code</dd>
<dt>avx2, neon, …</dt><dd>intrinsics</dd>
<dt>peer:…</dt><dd>another project's kernel, timed beside ours</dd>
<dt>speed, time</dt><dd>of the median repetition; spread: half of what lies between the quartiles of
the repetitions, at least {100 * rules.LEAST_SPREAD:.0f} %</dd>
<dt>tie</dt><dd>variants whose medians differ by less than their spreads together</dd>
<dt>of limit</dt><dd>over {rules.PERCENT_OF_ERROR} % in at least half of the repetitions is a
measuring error</dd>
<dt>left</dt><dd>how many times as fast the limit is</dd>
<dt>which format</dt><dd>time against the whole error of a product; a point per format, by its best
variant, and per kernel of another project; the axes' menu shows speeds instead, and every variant</dd>
<dt>error</dt><dd>exact: bit for bit what the contract says; nmse: normalised mean squared error</dd>
</dl>"""
    return folded("reading", "How to read this", content, "words and figures")
