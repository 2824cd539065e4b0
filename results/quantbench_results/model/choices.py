# SPDX-License-Identifier: Apache-2.0
"""What a matrix can be stored as and multiplied by: every format of the quantbench package, those with
groups once for each length, and the arithmetics that each has products for. A choice is called as the
benchmark's rows are: a8.q4_0, a32.s8.g32."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType

GROUPS = (32, 128)
"""Lengths of groups that are looked at, those that quantbench's quick profile times."""
ARITHMETICS = ("a32", "a8", "abf16")

# What llama.cpp stores instead where a row is no multiple of the block (llama-quant.cpp); where that
# does not fit either, f16.
_FALLBACKS = {
    "q4_K": "q5_0", "q5_K": "q5_1", "q6_K": "q8_0", "iq4_xs": "iq4_nl", "tq1_0": "q4_0", "tq2_0": "q4_0",
}  # fmt: skip
LAST_FALLBACK = "f16"


def package() -> ModuleType:
    """Ours, which only measuring needs: tables and pictures are drawn without it."""
    import quantbench  # noqa: PLC0415

    return quantbench


@dataclass(frozen=True)
class Storage:
    """A format, and the length of its groups if it has any."""

    name: str
    """As rows are called: s8.g32, q4_0."""
    format: str
    group: int | None
    unit: int
    """Of which K must be a multiple."""
    arithmetics: tuple[str, ...]

    def bits(self, k: int) -> float:
        return package().formats()[self.format].bits_per_weight(k, self.group or 0)

    def refusal(self, k: int) -> str:
        """Why rows of k weights can't be stored so, and what llama.cpp would do; empty if they can."""
        if k % self.unit == 0:
            return ""
        return f"K = {k} is no multiple of {self.unit}; llama.cpp would store {fallback(self, k)}"


def fallback(storage: Storage, k: int) -> str:
    """What llama.cpp stores where this format does not take rows of k weights."""
    name = _FALLBACKS.get(storage.format, LAST_FALLBACK)
    known = storages().get(name)
    unit = known.unit if known else 32
    return name if name == LAST_FALLBACK or k % unit == 0 else LAST_FALLBACK


@cache
def storages() -> dict[str, Storage]:
    """Every way of storing that the package knows, by its name."""
    qb = package()
    operations = {variant.operation for variant in qb.variants()}
    found = {}
    for name, format_ in qb.formats().items():
        arithmetics = tuple(a for a in ARITHMETICS if f"matmul_{a}_{name}" in operations)
        if not arithmetics:
            continue
        grouped = format_.in_groups
        for group in GROUPS if grouped else (None,):
            stem = f"{name.removesuffix('g')}.g{group}" if grouped else name
            unit = group or (format_.weights if format_.in_blocks else 1)
            found[stem] = Storage(stem, name, group, unit, arithmetics)
    return found
