# SPDX-License-Identifier: Apache-2.0
"""Which loops do a kernel's work, and how much of it in an iteration.

An operation over an array reads so many bytes of input for so many bytes of output: a loop that
stores in that proportion is one that does the work, a loop that only reads is the pass over the
input that quantizing a whole array with one scale begins with, and any other is a tail, a table or
a case of its own. A matmul's loop is one that multiplies numbers of the arithmetic's type.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quantbench_results.predict.loops import Loop, is_integer_product, products_of

MOST_LOOPS = 12
"""Candidates of a kernel that are modelled: its cases, or its tile sizes."""
LEAST_SHARE = 1 / 16
"""Of the most that any of a kernel's loops does in an iteration: below it is a tail."""
PROPORTION = 1.35
"""How far output over input may lie from what the format says: scales come with the codes."""

_FLOATS = {"f32": 4.0, "f16": 2.0, "bf16": 2.0}
_FORMATS = Path(__file__).parents[3] / "include/quantbench/formats.inc"


@functools.cache
def _bytes_of_elements() -> dict[str, float]:
    """Bytes of one element by the type's name in a kernel's name, those of weights from the table of
    formats itself; scales in an array of their own are not in it."""
    found = dict(_FLOATS)
    if _FORMATS.is_file():
        row = r"^QB_FORMAT\((\w+),\s*\w+,\s*\w+,\s*(\d+),\s*(\d+)"
        for name, weights, size in re.findall(
            row, _FORMATS.read_text(encoding="utf-8"), re.MULTILINE
        ):
            found[name] = int(size) / int(weights)
    return found


_NAME = re.compile(r"(convert|absmax|quantize|dequantize|pack|unpack)_(\w+)$")


@dataclass(frozen=True)
class Work:
    """What one iteration of a loop does for its kernel."""

    role: str
    """whole: all of the kernel's work on its elements; first pass: only the look for the largest
    magnitude; empty: not the kernel's work."""
    elements: float = 0.0
    products: float = 0.0

    @property
    def amount(self) -> float:
        return self.products or self.elements


def bytes_of(kernel: str) -> tuple[str, float, float]:
    """(operation, bytes of input an element, bytes of output an element) of an array kernel's name;
    an operation of "" if the name does not tell."""
    match = _NAME.match(kernel)
    sizes = _bytes_of_elements()
    if not match:
        return "", 0.0, 0.0
    operation, types = match.groups()
    if operation in ("pack", "unpack", "absmax"):
        size = sizes.get(types, 0.0)
        codes = 1.0  # a byte each
        pairs = {"pack": (codes, size), "unpack": (size, codes), "absmax": (size, 0.0)}
        return (operation, *pairs[operation]) if size else ("", 0.0, 0.0)
    for first, read in sizes.items():
        written = sizes.get(types.removeprefix(first + "_"), 0.0)
        if types.startswith(first + "_") and written:
            return operation, read, written
    return "", 0.0, 0.0


def work_of(kernel: str, loop: Loop, arch: str, sve_bytes: int) -> Work:
    """What the loop does for this kernel."""
    if kernel.startswith("matmul"):
        integer = is_integer_product(kernel)
        products = products_of(loop.instructions, arch, sve_bytes, integer)
        return Work("whole" if products else "", products=products)
    operation, read, written = bytes_of(kernel)
    if not operation or not loop.loaded:
        return Work("")
    elements = loop.loaded / read
    if operation == "absmax":
        # Maxima of groups are stored, which are few beside what is read.
        return Work("whole" if loop.stored < loop.loaded / 4 else "", elements)
    if not loop.stored:
        return Work("first pass" if operation == "quantize" else "", elements)
    proportion = (loop.stored / loop.loaded) / (written / read)
    return Work("whole" if 1 / PROPORTION <= proportion <= PROPORTION else "", elements)


def candidates(kernel: str, loops: Sequence[tuple[Loop, Work]]) -> list[tuple[Loop, Work]]:
    """The loops that may be the kernel's, those of the most work in an iteration first. Loops that
    store past the caches are left out where there are others: models make much of such stores."""
    useful = [(loop, work) for loop, work in loops if work.role]
    cached = [(loop, work) for loop, work in useful if not loop.streaming] or useful
    cached.sort(key=lambda pair: -pair[1].amount)
    most = cached[0][1].amount if cached else 0.0
    return [pair for pair in cached if pair[1].amount >= most * LEAST_SHARE][:MOST_LOOPS]


def takes_two_passes(kernel: str) -> bool:
    """Whether the kernel quantizes a whole array with one scale, which it must first look for."""
    return re.match(r"quantize_(f32|f16|bf16)_s[48]$", kernel) is not None
