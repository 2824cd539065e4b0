"""Which loops do a kernel's work, and how much of it in an iteration.

An operation over an array reads so many bytes of input for so many bytes of output: a loop that
stores in that proportion is one that does the work, a loop that only reads is the pass over the
input that quantizing a whole array with one scale begins with, and any other is a tail, a table or
a case of its own. A matmul's loop is one that multiplies numbers of the arithmetic's type.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from quantbench_results.predict.loops import Loop, is_integer_product, products_of

MOST_LOOPS = 12
"""Candidates of a kernel that are modelled: its cases, or its tile sizes."""
LEAST_SHARE = 1 / 16
"""Of the most that any of a kernel's loops does in an iteration: below it is a tail."""
PROPORTION = 1.35
"""How far output over input may lie from what the format says: scales come with the codes."""

# Bytes of one element, by the type's name in a kernel's name; scales of groups are not in it.
_BYTES = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "s8": 1.0,
    "s8g": 1.0,
    "s4": 0.5,
    "s4g": 0.5,
    "q8_0": 34 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
    "mxfp4": 17 / 32,
}
_NAME = re.compile(
    r"(convert|absmax|quantize|dequantize|pack|unpack)_([a-z0-9]+(?:_0|_nl)?)(?:_([a-z0-9]+(?:_0|_nl)?))?$"
)


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
    if not match:
        return "", 0.0, 0.0
    operation, first, second = match.groups()
    if operation in ("pack", "unpack"):
        packed = _BYTES.get(first, 0.0)
        pair = (1.0, packed) if operation == "pack" else (packed, 1.0)  # codes, a byte each
        return (operation, *pair) if packed else ("", 0.0, 0.0)
    read, written = _BYTES.get(first, 0.0), _BYTES.get(second or "", 0.0)
    known = read and (written or operation == "absmax")
    return (operation, read, written) if known else ("", 0.0, 0.0)


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
