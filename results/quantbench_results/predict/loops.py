# SPDX-License-Identifier: Apache-2.0
"""Innermost loops of functions, and the work of an iteration: bytes streamed, products added up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quantbench_results.predict.accesses import (
    arm_access,
    arm_written,
    branch_target,
    is_vector,
    vector_bytes,
    x86_access,
    x86_written,
)
from quantbench_results.predict.objects import Function, Instruction


@dataclass(frozen=True)
class Loop:
    """An innermost loop and the work of one iteration."""

    function: str
    address: int
    instructions: tuple[Instruction, ...]
    loaded: float
    """Bytes read in an iteration at addresses that change with it."""
    stored: float
    products: float
    """Multiply-adds of an iteration, of the narrowest type in it."""
    streaming: bool = False
    """Whether it stores past the caches: a loop for data beyond them."""

    @property
    def work(self) -> float:
        return self.products or self.loaded + self.stored


def loops_of(function: Function, arch: str, sve_bytes: int = 16) -> list[Loop]:
    """The innermost loops of a function that do vector work."""
    spans: dict[int, int] = {}
    if not function.instructions:
        return []
    first, last = function.instructions[0].address, function.instructions[-1].address
    for instruction in function.instructions:
        target = branch_target(instruction, arch)
        if target is not None and first <= target <= instruction.address <= last:
            spans[target] = max(spans.get(target, 0), instruction.address)
    innermost = [
        (head, tail)
        for head, tail in spans.items()
        if not any((h, t) != (head, tail) and head <= h and t <= tail for h, t in spans.items())
    ]
    found = []
    for head, tail in sorted(innermost):
        body = tuple(i for i in function.instructions if head <= i.address <= tail)
        if any(i.mnemonic in ("call", "bl", "blr") for i in body):
            continue
        loop = measured_work(function.symbol, head, body, arch, sve_bytes)
        if loop.work > 0 and any(is_vector(i, arch) for i in body):
            found.append(loop)
    return found


# Products per byte of the widest register, the narrowest type first.
_X86_INTEGER = (
    (r"vpdpbusd|vpmaddubsw|pmaddubsw|tdpb\w\wd", 1.0),
    (r"vpdpwssd|v?pmaddwd|v?pmullw", 0.5),
    (r"v?pmulld", 0.25),
)
_X86_FLOAT = (
    (r"vdpbf16ps|tdpbf16ps", 0.5),
    (r"vfn?m(add|sub)\d+ph", 0.5),
    (r"vfn?m(add|sub)\d+ps", 0.25),
    (r"v?mulps", 0.25),
)
_ARM_INTEGER = (
    (r"(us|s|u)mmla", 2.0),
    (r"(us|s|u|su)dot", 1.0),
    (r"[su]ml[as]l2?|[su]mull2?|[su]mlalb|[su]mlalt", 0.5),
    (r"ml[as]|mul", 0.25),
)
_ARM_FLOAT = (
    (r"bfmmla", 1.0),
    (r"bfdot|bfmlal[bt]", 0.5),
    (r"fml[as](l2?|lb|lt)?", 0.25),
    (r"fmul", 0.25),
)


def is_integer_product(kernel: str) -> bool:
    """Whether a product's kernel multiplies integers; the others multiply floating-point numbers."""
    return kernel.startswith("matmul_a8")


def products_of(
    body: Sequence[Instruction], arch: str, sve_bytes: int, integer: bool | None = None
) -> float:
    """Multiply-adds of an iteration: those of the narrowest type, which the others only scale. Of
    integers or of floating-point numbers alone if `integer` says which."""
    whole, real = (_X86_INTEGER, _X86_FLOAT) if arch == "x86-64" else (_ARM_INTEGER, _ARM_FLOAT)
    tables = {True: whole, False: real, None: whole + real}[integer]
    for pattern, per_byte in tables:
        total = sum(
            per_byte * vector_bytes(i, arch, sve_bytes) * _per_lane(i, arch)
            for i in body
            if re.fullmatch(pattern, i.mnemonic)
        )
        if total:
            return total
    return 0.0


def _per_lane(instruction: Instruction, arch: str) -> float:
    """Halves have twice the lanes of the floats that the table counts."""
    return 2.0 if arch == "aarch64" and instruction.mnemonic in ("fmla", "fmls", "fmul") and re.match(
        r"[vz]\d+\.(8|4)?h", instruction.operands
    ) else 1.0  # fmt: skip


def measured_work(
    symbol: str, head: int, body: tuple[Instruction, ...], arch: str, sve_bytes: int
) -> Loop:
    """The loop with the bytes that it streams and the products that it adds up."""
    written: set[str] = set()
    for instruction in body:
        if arch == "x86-64":
            if register := x86_written(instruction):
                written.add(register)
        else:
            written |= arm_written(instruction)
    loaded = stored = 0.0
    for instruction in body:
        access = x86_access(instruction) if arch == "x86-64" else arm_access(instruction, sve_bytes)
        if access and access[2] & written:
            if access[1]:
                stored += access[0]
            else:
                loaded += access[0]
    streaming = any("movnt" in i.mnemonic or i.mnemonic == "stnp" for i in body)
    products = products_of(body, arch, sve_bytes)
    return Loop(symbol, head, body, loaded, stored, products, streaming)
