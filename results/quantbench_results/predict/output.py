# SPDX-License-Identifier: Apache-2.0
"""The tables of predictions, in Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

from quantbench_results.predict.cores import CORES, Core
from quantbench_results.predict.judge import Measured, Prediction, behind_twins, predictions
from quantbench_results.predict.model import Modelled
from quantbench_results.text import printable

_INTRODUCTION = """# Predicted by a pipeline model, not measured

Written by `make predict`: LLVM's llvm-mca runs each kernel's hot loops as compiled, as if every load
hit the first cache level, every branch were predicted and nothing else ran. Tails, calls and set-up
are not in it. For array operations the figure is cycles per 1000 input elements, for matmul cycles per
1000 multiply-adds, of the cheapest loop that does the kernel's work: a kernel has loops for several
cases, and an object does not tell which one runs. (Quantizing with one scale for the whole array takes
two passes; both are in it.) So the figure is a bound from below, as far as the model is right. Beside
it: the units that bind that loop, by LLVM's names, and how busy the model keeps them; what is missing
to 100 % goes to chains of dependent instructions and to uneven use.
"""


def markdown(found: Sequence[Modelled], measured: Measured | None, model_version: str = "") -> str:
    """The tables: one per kernel family and architecture, a line per kernel and variant, a column per
    core."""
    cores = [core for core in CORES if any(loop.core == core.name for loop in found)]
    told = predictions(found, measured)
    out = [_INTRODUCTION]
    if model_version:
        out += [f"Modelled by {model_version}; every loop on every core: `loops.csv`.", ""]
    notes = [f"{core.label}: {core.note}." for core in cores if core.note]
    if notes:
        out += [*notes, ""]
    if measured:
        out += [*_about_measured(measured, told), ""]
    for title, matmul in (("Array operations", False), ("Matmul", True)):
        for arch in ("x86-64", "AArch64"):
            columns = [core for core in cores if core.arch == arch.lower()]
            out += _table(f"{title}, {arch}", columns, matmul, told, measured)
    names = {core.name for core in cores}
    if "znver3" in names and any(core.arch == "aarch64" for core in cores):
        out += _twins(told)
    failures = sorted({(loop.variant, loop.core, loop.error) for loop in found if loop.error})
    if failures:
        out += ["## Not modelled", ""]
        out += [f"- {variant} on {core}: {printable(why, 200)}" for variant, core, why in failures]
        out.append("")
    return "\n".join(out).rstrip() + "\n"


def _about_measured(
    measured: Measured, told: Mapping[tuple[str, str, str], Prediction]
) -> list[str]:
    lines = [
        f"*measured* is from {measured.source}: cycles by the clock",
        "measured beside each row, of the smallest size (array operations) or the fastest shape (matmul);",
        "it includes all passes, tails and calls.",
    ]
    if not measured.core:
        return [*lines, "No model here is of that core, so no figure is judged by it."]
    judged = [p for (kernel, variant, core), p in told.items()
              if core == measured.core.name and measured.cycles.get((kernel, variant))]  # fmt: skip
    refused = sum(p.refused for p in judged)
    return [
        *lines,
        f"That is a {measured.core.label}. A figure of its column above what was measured is no bound:",
        f"it is *refused*, and shown only as such ({refused} of {len(judged)}).",
    ]


def _table(
    title: str,
    cores: Sequence[Core],
    matmul: bool,
    told: Mapping[tuple[str, str, str], Prediction],
    measured: Measured | None,
) -> list[str]:
    """The lines of what these cores can run, with what was measured where any of it was."""
    own = {core.name for core in cores}
    names = sorted(
        {
            (kernel, variant)
            for kernel, variant, core in told
            if kernel.startswith("matmul") == matmul and core in own
        }
    )
    if not names:
        return []
    cycles = measured.cycles if measured else {}
    shown = {name: f"{1000 * cycles[name]:.0f}" for name in names if cycles.get(name)}
    titles = [
        "kernel",
        "variant",
        *(core.label for core in cores),
        *(["measured"] if shown else []),
    ]
    out = [f"## {title}", "", "| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for name in names:
        cells = [*name, *(_cell(told.get((*name, core.name))) for core in cores)]
        out.append("| " + " | ".join([*cells, *([shown.get(name, "")] if shown else [])]) + " |")
    return [*out, ""]


def _cell(prediction: Prediction | None) -> str:
    if prediction is None:
        return ""
    if prediction.loop is None:
        return "not modelled"
    figure = f"{1000 * prediction.cost:.0f}"
    if prediction.refused:
        return f"*refused: {figure}*"
    units = prediction.loop.binding.split()
    named = units[0] if len(units) == 1 else f"{units[0]}…{units[-1]}"
    return f"{figure}, {named} {100 * prediction.busy:.0f} %"


def _twins(told: Mapping[tuple[str, str, str], Prediction]) -> list[str]:
    labels = {core.name: core.label for core in CORES}
    lines = [
        f"- {kernel} {variant} on {labels[core]}: {100 * ours.busy:.0f} % ({ours.loop.binding}), "
        f"the twin {100 * twin.busy:.0f} %"
        for (kernel, variant, core), ours, twin in behind_twins(told)
        if ours.loop
    ]
    title = "## ARM loops further from their binding units than their AVX2 twins"
    return [title, "", *(lines or ["None."]), ""]


def table(found: Sequence[Modelled], told: Mapping[tuple[str, str, str], Prediction]) -> str:
    """Every loop on every core as CSV, a line each; empty where the model has no figure. `used`: the
    kernel's figure is that loop's; or `refused`, since the kernel was measured to be faster."""
    text = io.StringIO()
    names = [f.name for f in fields(Modelled)]
    writer = csv.DictWriter(text, [*names, "used"], lineterminator="\n")
    writer.writeheader()
    for loop in found:
        prediction = told[loop.kernel, loop.variant, loop.core]
        used = "" if prediction.loop is not loop else "refused" if prediction.refused else "used"
        writer.writerow(
            {**{key: _number(value) for key, value in asdict(loop).items()}, "used": used}
        )
    return text.getvalue()


def _number(value: object) -> object:
    if not isinstance(value, float):
        return value
    return f"{value:.6g}" if math.isfinite(value) else ""
