# SPDX-License-Identifier: Apache-2.0
"""What quantbench-formats prints: the choices of a model in a table, what to use in sentences, and the
mixed plans."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from quantbench_results import summary
from quantbench_results.layer import aligned, megabytes
from quantbench_results.model import totals
from quantbench_results.model.losses import GIVEN, NORMAL, OUTLIERS
from quantbench_results.model.plan import Plan
from quantbench_results.model.reading import Skipped
from quantbench_results.model.totals import Total

ABOUT = (
    "error: normalised mean squared error of the outputs x @ w, the mean over the matrices by their "
    "weights; for normal activations, with outlier channels (0.5 % of them 20 times as large), or the "
    "user's; 'alone' is what the arithmetic adds (activations in 8 bits, bf16). NMSE, SQNR: of the weights. "
    "Times: the model's products one after another, weights cold; 'allowed' is what the measured limit "
    "would take, of one row memory's bandwidth. On the front: every faster choice loses more."
)


def lines(
    records: Sequence[Mapping[str, Any]],
    skipped: Sequence[Skipped],
    found: Sequence[Total],
    plans: Sequence[Plan],
    rows: Sequence[int],
    max_error: float,
) -> list[str]:
    """All of it."""
    weights = sum(record["n"] * record["k"] for record in records)
    shapes = Counter((record["n"], record["k"]) for record in records)
    text = [
        f"{len(records)} matrices, {weights / 1e6:.4g} million weights: "
        + ", ".join(f"{count} of {n}x{k}" for (n, k), count in shapes.most_common(8)),
        *_skipped(skipped),
        *_refused(records),
        "",
        "What each choice loses:",
        *loss_table(found),
        *(line for m in rows for line in speed_table(found, m)),
        "",
        *textwrap.wrap(ABOUT, 110),
        "",
    ]
    for m in rows:
        text += _sentence(found, m, max_error)
    if plans:
        text += ["", f"Mixed plans, by the time at m = {rows[0]}:", *map(_plan, plans)]
    return text


def _skipped(skipped: Sequence[Skipped]) -> list[str]:
    by_reason: dict[str, list[str]] = {}
    for entry in skipped:
        by_reason.setdefault(entry.why, []).append(entry.name)
    return [f"left out: {_names(names)}: {why}" for why, names in by_reason.items()]


def _refused(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Per reason the formats and the matrices that do not go together."""
    by_matrix: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for storage, why in record["refused"].items():
            by_matrix.setdefault((record["name"], why), []).append(storage)
    by_reason: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for (name, why), names in by_matrix.items():
        by_reason.setdefault((tuple(names), why), []).append(name)
    return [
        f"not as {', '.join(storages)}: {_names(names)}: {why}"
        for (storages, why), names in by_reason.items()
    ]


def _names(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def loss_table(found: Sequence[Total]) -> list[str]:
    """What each choice loses, and what it takes; the most exact first."""
    kinds = [kind for kind in (NORMAL, OUTLIERS, GIVEN) if any(kind in t.output for t in found)]
    head = ["choice", "remark", "bits", "MB", "NMSE", "SQNR", "worst row"]
    head += [f"error, {kind}" for kind in kinds] + [f"alone, {kind}" for kind in kinds]
    ordered = sorted(found, key=lambda t: (t.error, t.bits))
    return aligned([[*head, ""], *([*_loss(total, kinds), ""] for total in ordered)])


def _loss(total: Total, kinds: Sequence[str]) -> list[str]:
    elsewhere = ", ".join(f"{count} as {name}" for name, count in total.elsewhere.items())
    decibels = totals.decibels(total.nmse)
    cells = [
        total.choice,
        elsewhere,
        f"{total.bits:.4g}",
        f"{total.nbytes / 1e6:.4g}",
        f"{total.nmse:.1e}",
        f"{decibels:.1f} dB" if math.isfinite(decibels) else "exact",
        f"{total.worst_row[2]:.1e}",
    ]
    alone = total.arithmetic_alone
    cells += [f"{total.output[kind]:.1e}" if kind in total.output else "" for kind in kinds]
    return cells + [f"{alone[kind]:.1e}" if kind in alone else "" for kind in kinds]


def speed_table(found: Sequence[Total], m: int) -> list[str]:
    """How long the model's products take at m rows, the fastest first."""
    timed = sorted((t for t in found if m in t.ns), key=lambda t: t.ns[m])
    if not timed:
        return []
    front = {t.choice for t in totals.front(timed, m)}
    lines = [["choice", "", "bits", "error", "time", "spread", "allowed", "of limit", ""]]
    for above, total in zip([None, *timed], timed, strict=False):
        limit, share = total.limit_ns.get(m), total.share(m)
        lines.append([
            total.choice, "front" if total.choice in front else "", f"{total.bits:.4g}",
            f"{total.error:.1e}", summary.time_text(total.ns[m]), f"±{100 * total.spread[m]:.0f} %",
            summary.time_text(limit) if limit else "", f"{share:.0f} %" if share else "",
            f"tie with {above.choice}" if above and totals.tied(above, total, m) else "",
        ])  # fmt: skip
    what = "one token" if m == 1 else f"a prompt of {m}"
    return ["", f"Time for {what} through these matrices (m = {m}):", *aligned(lines)]


def _sentence(found: Sequence[Total], m: int, max_error: float) -> list[str]:
    """What to use at m rows."""
    timed = sorted((t for t in found if m in t.ns), key=lambda t: t.ns[m])
    fitting = [t for t in timed if t.error <= max_error]
    if not timed:
        return []
    if not fitting:
        least = min(timed, key=lambda t: t.error)
        return [f"m = {m}: no choice is within an error of {max_error:g}; {least.choice} loses "
                f"least, {least.error:.1e}."]  # fmt: skip
    tied = [t for t in fitting[1:] if totals.tied(fitting[0], t, m)]
    best = min([fitting[0], *tied], key=lambda t: t.error)
    text = (
        f"m = {m}: use {best.choice}: {summary.time_text(best.ns[m])} for all matrices, error "
        f"{best.error:.1e}, {megabytes(best.nbytes)}; within an error of {max_error:g} it is the fastest"
    )
    ties = [t.choice for t in fitting if t is not best and totals.tied(best, t, m)]
    return [text + (f" (a tie with {', '.join(ties[:3])})" if ties else "") + "."]


def _plan(plan: Plan) -> str:
    counts = Counter(option.name for option in plan.chosen)
    budget = plan.budget
    limits = [
        *([f"an error of {budget.error:g}"] if budget.error is not None else []),
        *([megabytes(budget.nbytes)] if budget.nbytes is not None else []),
        *([summary.time_text(budget.ns)] if budget.ns is not None else []),
    ]
    return (
        f"  {'fastest' if budget.fastest else 'most exact'} within {' and '.join(limits)}: "
        f"{summary.time_text(plan.ns)}, error {plan.error:.1e}, {megabytes(plan.nbytes)}: "
        + ", ".join(f"{count} {name}" for name, count in counts.most_common())
    )
