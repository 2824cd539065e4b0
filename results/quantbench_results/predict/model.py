# SPDX-License-Identifier: Apache-2.0
"""Runs the hot loops of built kernels through llvm-mca."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantbench_results.errors import ResultsError
from quantbench_results.predict.accesses import branch_target
from quantbench_results.predict.cores import CORES, Core
from quantbench_results.predict.loops import Loop, loops_of
from quantbench_results.predict.objects import (
    isa_of,
    kernels,
    objects,
    parse_disassembly,
    parse_records,
    reachable,
    run_tool,
    tool,
)
from quantbench_results.predict.work import Work, candidates, work_of

ITERATIONS = 200


@dataclass(frozen=True)
class Modelled:
    """One loop on one core."""

    kernel: str
    room: str
    variant: str
    function: str
    loop: int
    core: str
    instructions: int
    cycles: float
    """Per iteration."""
    binding: str
    """The units of the core that an iteration keeps busy longest."""
    bound_cycles: float
    """The cycles that the binding resource alone would need."""
    loaded: float
    stored: float
    products: float
    elements: float
    """Of the input, per iteration; 0 in a matmul."""
    role: str
    """What the loop does for its kernel: see work.Work."""
    error: str = ""


def assembly(loop: Loop, arch: str) -> str:
    """The loop as llvm-mca reads it: branches go to its own label."""
    lines = [".intel_syntax noprefix"] if arch == "x86-64" else []
    lines.append(".Lloop:")
    for instruction in loop.instructions:
        if instruction.mnemonic.startswith("nop"):
            continue
        text = instruction.text
        if branch_target(instruction, arch) is not None:
            text = re.sub(r"0x[0-9a-f]+$", ".Lloop", text)
        if arch == "x86-64":
            text = re.sub(r"\[rip( [+-] 0x[0-9a-f]+)?\]", "[rip + .Lloop]", text)
        lines.append("\t" + text)
    return "\n".join(lines) + "\n"


def run_mca(mca: str, core: Core, text: str, features: str = "") -> dict[str, object]:
    triple = "aarch64-linux-gnu" if core.arch == "aarch64" else "x86_64-linux-gnu"
    command = [
        mca,
        f"-mtriple={triple}",
        f"-mcpu={core.name}",
        f"-iterations={ITERATIONS}",
        "-json",
    ]
    if features:
        command.append(f"-mattr={features}")
    try:
        return json.loads(run_tool(command, text))
    except ValueError:
        raise ResultsError(mca, "did not write JSON") from None


def summarise(report: Mapping[str, object]) -> tuple[float, str, float]:
    """(cycles per iteration, the busiest units, the cycles that they need) from llvm-mca's JSON."""
    region = report["CodeRegions"][0]
    summary = region["SummaryView"]
    cycles = summary["TotalCycles"] / summary["Iterations"]
    count = len(region["Instructions"])
    names = report["TargetInfo"]["Resources"]
    pressure: dict[str, list[float]] = {}
    for entry in region["ResourcePressureView"]["ResourcePressureInfo"]:
        if entry["InstructionIndex"] == count:  # the sum over the loop
            name = names[entry["ResourceIndex"]]
            # One pipe of several is numbered: "V1UnitV.2", or with the number as a character.
            pressure.setdefault(re.sub(r"\.[\d\x00-\x1f]*$", "", name), []).append(
                float(entry["ResourceUsage"])
            )
    # A unit of several pipes is as busy as the busiest of them.
    needs = {name: max(values) for name, values in pressure.items()}
    width = summary["DispatchWidth"]
    needs["dispatch"] = summary["TotaluOps"] / summary["Iterations"] / width if width else 0.0
    need = max(needs.values())
    busiest = sorted({unit_name(name) for name, value in needs.items() if value >= 0.98 * need})
    return cycles, " ".join(busiest), need


def unit_name(resource: str) -> str:
    """N1UnitV0 -> V0, CyUnitLS -> LS, Zn3FP45 -> FP45, SPRPort05 -> Port05."""
    return re.sub(r"^(N1Unit|V[12]Unit|CyUnit|Zn[34]|ADLP|SPR)(?=\w)", "", resource)


def model(
    builds: Sequence[Path],
    cores: Sequence[Core] = CORES,
    families: Sequence[str] = ("hand", "xsimd"),
) -> list[Modelled]:
    """Every hot loop of the builds' variants on every core that can run it."""
    tools = Tools(tool("llvm-objdump"), tool("llvm-nm"), tool("llvm-mca"))
    found: list[Modelled] = []
    for build in builds:
        for room, variant, path in objects(build):
            able = [core for core in cores if isa_of(variant) in core.isas]
            if able and _family(variant) in families:
                found += _model_object(tools, room, variant, path, able)
    return found


@dataclass(frozen=True)
class Tools:
    """Paths of LLVM's tools."""

    objdump: str
    nm: str
    mca: str


def _family(variant: str) -> str:
    return variant.split("_")[0] if variant.startswith(("xsimd", "autovec", "scalar")) else "hand"


def _model_object(
    tools: Tools, room: str, variant: str, path: Path, cores: Sequence[Core]
) -> list[Modelled]:
    arch = "aarch64" if "aarch64" in run_tool([tools.objdump, "-f", str(path)]) else "x86-64"
    syntax = "--x86-asm-syntax=intel" if arch == "x86-64" else "--mattr=+all"
    functions = parse_disassembly(
        run_tool([tools.objdump, "-d", "-r", "--no-show-raw-insn", syntax, str(path)])
    )
    symbols = run_tool([tools.nm, "-S", "--defined-only", str(path)])
    records = parse_records(symbols, run_tool([tools.objdump, "-r", str(path)]), functions)
    cache: dict[tuple[str, str], tuple[float, str, float] | str] = {}
    found = []
    for kernel, roots in kernels(symbols, records, variant).items():
        for core in (c for c in cores if c.arch == arch):
            loops = [
                loop
                for name in reachable(sorted(roots), functions)
                for loop in loops_of(functions[name], arch, core.sve_bytes or 16)
            ]
            work = [(loop, work_of(kernel, loop, arch, core.sve_bytes or 16)) for loop in loops]
            for index, (loop, done) in enumerate(candidates(kernel, work)):
                found.append(
                    _modelled(
                        tools.mca, Place(kernel, room, variant, index), core, loop, done, cache
                    )
                )
    return found


@dataclass(frozen=True)
class Place:
    """Whose loop it is."""

    kernel: str
    room: str
    variant: str
    loop: int


def _modelled(
    mca: str,
    place: Place,
    core: Core,
    loop: Loop,
    done: Work,
    cache: dict[tuple[str, str], tuple[float, str, float] | str],
) -> Modelled:
    text = assembly(loop, core.arch)
    key = (core.name, text)
    if key not in cache:
        try:
            cache[key] = summarise(run_mca(mca, core, text, core.features))
        except ResultsError as error:
            cache[key] = error.problem
    outcome = cache[key]
    cycles, binding, need = (math.nan, "", math.nan) if isinstance(outcome, str) else outcome
    return Modelled(
        place.kernel, place.room, place.variant, loop.function, place.loop, core.name,
        len(loop.instructions), cycles, binding, need, loop.loaded, loop.stored,
        done.products, done.elements, done.role, outcome if isinstance(outcome, str) else "",
    )  # fmt: skip
