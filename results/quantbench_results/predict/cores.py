# SPDX-License-Identifier: Apache-2.0
"""The cores that LLVM has a scheduling model of, and how to know one from a results file."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quantbench_results.rows import Results


@dataclass(frozen=True)
class Core:
    """A core that LLVM has a scheduling model of."""

    name: str
    label: str
    arch: str
    isas: frozenset[str]
    features: str = ""
    sve_bytes: int = 0
    note: str = ""


_ARM = frozenset({"neon", "neon_fp16", "neon_dotprod"})
_ARM_FULL = _ARM | {"neon_i8mm", "neon_bf16", "sve"}
_AVX512 = frozenset({"avx512", "avx512vnni", "avx512bf16"})
CORES = (
    Core("neoverse-n1", "Neoverse N1", "aarch64", _ARM, "+fullfp16,+dotprod"),
    Core(
        "neoverse-v1",
        "Neoverse V1",
        "aarch64",
        _ARM_FULL,
        "+fullfp16,+dotprod,+i8mm,+bf16,+sve",
        32,
    ),
    Core(
        "neoverse-v2",
        "Neoverse V2",
        "aarch64",
        _ARM_FULL,
        "+fullfp16,+dotprod,+i8mm,+bf16,+sve",
        16,
    ),
    Core(
        "apple-m1",
        "Apple M1",
        "aarch64",
        _ARM,
        "+fullfp16,+dotprod",
        note="LLVM models it as the Cyclone of 2013: fewer vector pipes than it has",
    ),
    Core("znver3", "Zen 3", "x86-64", frozenset({"sse4_2", "avx2"})),
    Core("znver4", "Zen 4", "x86-64", _AVX512 | {"avx2"}),
    Core("alderlake", "Alder Lake P", "x86-64", frozenset({"avx2", "avxvnni"})),
    Core("sapphirerapids", "Sapphire Rapids", "x86-64", _AVX512 | {"avx512fp16"}),
)

# CPU family and model, as results files have them -> the core.
_MODELS = {
    "znver3": r"25/(1|8|33|68|80)/",
    "znver4": r"25/(16|17|24|97|116|117|120|160)/",
    "alderlake": r"6/(151|154|183|186|190|191)/",
    "sapphirerapids": r"6/(143|207)/",
}


def core_of(results: Results) -> Core | None:
    """The core that a file was measured on; None if no model of it is used here."""
    found = results.text("cpu_family_model_stepping", "")
    for core in CORES:
        pattern = _MODELS.get(core.name)
        if pattern and re.match(pattern, found + "/"):
            return core
    return None
