# SPDX-License-Identifier: Apache-2.0
"""What there is: weight formats and variants of kernels."""

from __future__ import annotations

import math
from dataclasses import dataclass

from quantbench import _core


@dataclass(frozen=True)
class Format:
    """A weight format: a row of include/quantbench/formats.inc."""

    name: str
    codes: str  #: "f32", "f16", "int8", "nibble" or "table"
    #: "none", "output" (one f32 a row), "group" (an f16 each), "zeros" (the same, and perhaps a zero
    #: point each), else within the blocks
    scales: str
    weights: int  #: of the unit of storage
    bytes: int  #: of the unit of storage

    @property
    def in_groups(self) -> bool:
        """Whether groups of 32, 64 or 128 of a row have scales in an array of their own."""
        return self.scales in ("group", "zeros")

    @property
    def in_blocks(self) -> bool:
        """Whether the unit of storage is a block, which has its scales within it."""
        return not self.in_groups and self.scales not in ("none", "output")

    def row_bytes(self, k: int) -> int:
        """Bytes of the codes (and of scales within blocks) of a row of k weights."""
        return -(-k // self.weights) * self.bytes

    def scales_of_row(self, k: int, group: int = 0) -> int:
        """How many scales of a row of k weights are in an array of their own."""
        if self.in_groups:
            return k // group if group else 0
        return int(self.scales == "output")

    def zeros_of_row(self, k: int, group: int = 0) -> int:
        """Bytes of the zero points of a row of k weights; 0 if the format has none."""
        return (self.scales_of_row(k, group) + 1) // 2 if self.scales == "zeros" else 0

    @property
    def scale_bytes(self) -> int:
        """Bytes of a scale in an array of its own; 0 if there is none."""
        return {"output": 4, "group": 2, "zeros": 2}.get(self.scales, 0)

    def bits_per_weight(self, k: int, group: int = 0) -> float:
        """Bits that a row of k weights takes, divided by k; NaN of none."""
        scales = self.scales_of_row(k, group) * self.scale_bytes + self.zeros_of_row(k, group)
        return 8 * (self.row_bytes(k) + scales) / k if k else math.nan


@dataclass(frozen=True)
class Variant:
    """One implementation of one operation."""

    operation: str  #: "matmul_a8_q4_0"
    name: str  #: "avx512vnni"
    needs: str  #: CPU features, joined by '+'
    refusal: str  #: why it can't run here; empty if it can

    @property
    def runs(self) -> bool:
        return not self.refusal


def formats() -> dict[str, Format]:
    """Every weight format by its name."""
    return {row[0]: Format(*row) for row in _core.formats()}


def variants(operation: str | None = None) -> list[Variant]:
    """Every variant, or those of one operation; slowest expected first within an operation.

    Raises ValueError if there is no such operation.
    """
    rows = [Variant(*row) for row in _core.variants()]
    if operation is None:
        return rows
    rows = [row for row in rows if row.operation == operation]
    if not rows:
        raise ValueError(f"there is no operation {operation!r}; variants() lists all")
    return rows
