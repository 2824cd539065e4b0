# SPDX-License-Identifier: Apache-2.0
"""Weights of any format: quantize, dequantize, and products with them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantbench import _core
from quantbench._arrays import F16, F32, array, count, flat, text, threads_of
from quantbench._catalog import Format, formats

_SCALE_TYPES = {"output": np.float32, "group": np.float16, "zeros": np.float16}


def _format(name: str) -> Format:
    known = formats()
    if text("format", name) not in known:
        raise ValueError(f"there is no format {name!r}; there are: {', '.join(known)}")
    return known[name]


def _group(format: Format, group: int | None) -> int:
    if not format.in_groups:
        if group is not None:
            raise ValueError(f"{format.name} has no groups to choose, but group is {group!r}")
        return 0
    if group is None:
        raise ValueError(f"{format.name} needs group: 32, 64 or 128")
    if count("group", group) not in (32, 64, 128):
        raise ValueError(f"group is {group}, none of 32, 64 and 128")
    return int(group)


def _unit(format: Format, group: int) -> int:
    """Of which K must be a multiple."""
    return group or (format.weights if format.in_blocks else 1)


def _rows(shape: Any, format: Format, group: int) -> tuple[int, int]:
    """N and K, if rows of K can be of that format."""
    if not isinstance(shape, Iterable) or len(sizes := tuple(shape)) != 2:
        raise ValueError(f"shape is {shape!r}, not (N, K)")
    n, k = (count("shape", size) for size in sizes)
    if k % (unit := _unit(format, group)):
        raise ValueError(f"shape is {(n, k)}, but {format.name} takes rows of a multiple of {unit}")
    return n, k


def _checked(q: Quantized) -> Quantized:
    if not isinstance(q, Quantized):
        raise ValueError(f"q is of type {type(q).__name__}, not Quantized, which quantize() makes")
    return q


@dataclass(frozen=True, eq=False)
class Quantized:
    """Weights [N, K] of one format.

    values: uint8 [N, bytes of a row], as the format lies in memory (GGUF's bytes for its formats).
    scales: float32 [N] or float16 [N, K // group] where the format has them apart, else None.
    zeros: uint8 [N, (K // group + 1) // 2], of u4h, a zero point for each group, the even group's in
    the low nibble; None for 8 of every group.
    """

    format: str
    shape: tuple[int, int]
    values: NDArray[np.uint8]
    scales: NDArray[Any] | None = None
    group: int | None = None
    zeros: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        format = _format(self.format)
        group = _group(format, self.group)
        n, k = _rows(self.shape, format, group)
        object.__setattr__(self, "shape", (n, k))
        values = array("values", self.values, np.dtype(np.uint8))
        if values.ctypes.data % 4:  # of blocks' scales and of floats
            values = values.copy()
        if values.shape != (n, format.row_bytes(k)):
            raise ValueError(f"values are {values.shape}, not {(n, format.row_bytes(k))}, which "
                             f"{n} x {k} weights of {self.format} take")
        object.__setattr__(self, "values", values)
        if self.zeros is not None:
            zeros = array("zeros", self.zeros, np.dtype(np.uint8))
            if format.scales != "zeros":
                raise ValueError(f"{self.format} has no zero points, but zeros were given")
            if zeros.shape != (n, format.zeros_of_row(k, group)):
                raise ValueError(f"zeros are {zeros.shape}, not "
                                 f"{(n, format.zeros_of_row(k, group))}")
            object.__setattr__(self, "zeros", zeros)
        if format.scales not in _SCALE_TYPES:
            if self.scales is not None:
                raise ValueError(f"{self.format} has no scales apart, but scales were given")
            return
        if self.scales is None:
            raise ValueError(f"{self.format} needs scales")
        scales = array("scales", self.scales, np.dtype(_SCALE_TYPES[format.scales]))
        wanted = (n,) if format.scales == "output" else (n, k // group)
        if scales.shape != wanted:
            raise ValueError(f"scales are {scales.shape}, not {wanted}")
        object.__setattr__(self, "scales", scales)

    @property
    def nbytes(self) -> int:
        """Bytes of values, scales and zero points."""
        return sum(a.nbytes for a in (self.values, self.scales, self.zeros) if a is not None)

    @property
    def bits_per_weight(self) -> float:
        """Of no weights: NaN."""
        weights = self.shape[0] * self.shape[1]
        return 8 * self.nbytes / weights if weights else math.nan

    def _arguments(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int, int, int]:
        """What the module takes for weights: values, scales with zero points behind them, N, K,
        group."""
        beside = [a.reshape(-1).view(np.uint8) for a in (self.scales, self.zeros) if a is not None]
        scales = beside[0] if len(beside) == 1 else np.concatenate([np.empty(0, np.uint8), *beside])
        return (self.values.reshape(-1), scales, *self.shape, self.group or 0)


def quantize(w: ArrayLike, format: str, group: int | None = None) -> Quantized:
    """The float32 weights w [N, K] in a format of formats(); group (32, 64, 128) for s8g, s4g and
    u4h, which gets zero points.

    Raises ValueError if w is no float32 matrix, has values that are not finite or scales that
    overflow float16, or if the format's blocks or groups do not divide K.
    """
    row = _format(format)
    size = _group(row, group)
    source = array("w", w, F32)
    if source.ndim != 2:
        raise ValueError(f"w has {source.ndim} axes, not 2: outputs and inputs")
    n, k = source.shape
    if k % (unit := _unit(row, size)):
        raise ValueError(f"w has rows of {k}, not a multiple of {unit}, as {format} needs")
    values = np.empty((n, row.row_bytes(k)), np.uint8)
    shape = (n, row.scales_of_row(k, size))
    beside = np.empty(n * (shape[1] * row.scale_bytes + row.zeros_of_row(k, size)), np.uint8)
    _core.quantize_rows(format, flat(source), n, k, size, values.reshape(-1), beside)
    if row.scales not in _SCALE_TYPES:
        return Quantized(format, (n, k), values)
    split = math.prod(shape) * row.scale_bytes
    scales = beside[:split].view(_SCALE_TYPES[row.scales])
    zeros = beside[split:].reshape(n, row.zeros_of_row(k, size)) if row.scales == "zeros" else None
    return Quantized(format, (n, k), values,
                     scales if row.scales == "output" else scales.reshape(shape), group, zeros)


def dequantize(q: Quantized) -> NDArray[np.float32]:
    """float32 weights [N, K]. Raises ValueError if a scale of a block is not finite."""
    result = np.empty(_checked(q).shape, np.float32)
    _core.dequantize_rows(q.format, *q._arguments(), result.reshape(-1))
    return result


class Packed:
    """Weights repacked for one variant of a product, made by pack()."""

    def __init__(self, weights: Quantized, arithmetic: str, variant: str, threads: int,
                 expected_m: int) -> None:
        self._core = _core.Packed(_checked(weights).format, *weights._arguments(),
                                  text("arithmetic", arithmetic), text("variant", variant),
                                  threads_of(threads), count("expected_m", expected_m))
        self.weights = weights
        self.arithmetic = arithmetic

    @property
    def variant(self) -> str:
        """The variant that matmul() runs."""
        return str(self._core.variant)

    @property
    def nbytes(self) -> int:
        """Bytes of the repacked weights."""
        return int(self._core.packed_bytes)

    def matmul(self, x: ArrayLike, threads: int = 1) -> NDArray[Any]:
        """x @ w.T: [..., K] to [..., N], float32, or float16 under the arithmetic "f16".

        Raises ValueError if x has another type or last axis, or under "a8" values that can't be
        quantized. Calls from several Python threads wait for each other.
        """
        half = self.arithmetic == "f16"
        source = array("x", x, F16 if half else F32)
        n, k = self.weights.shape
        if source.ndim == 0 or source.shape[-1] != k:
            raise ValueError(f"x is {source.shape}, but the weights take rows of {k}")
        result = np.empty((*source.shape[:-1], n), source.dtype)
        m = source.size // k if k else result.size // max(n, 1)
        run = self._core.run_f16 if half else self._core.run
        run(flat(source), m, flat(result), threads_of(threads))
        return result


def pack(q: Quantized, arithmetic: str = "a8", variant: str = "", threads: int = 1,
         expected_m: int = 1) -> Packed:
    """q made ready for products: under "a32" (float32), "a8" (activations quantized to int8),
    "abf16" (both factors rounded to bfloat16, float32 sums) or, for f16 weights, "f16".

    For the best variant of this CPU, for products of `expected_m` rows, unless one is named: it
    takes any number of rows all the same. Some variants read q's own arrays, which must not change
    then. Raises ValueError if there is no such
    arithmetic, product or variant, or if it can't run here.
    """
    return Packed(q, arithmetic, variant, threads, expected_m)


def matmul(x: ArrayLike, q: Quantized, arithmetic: str = "a8", variant: str = "",
           threads: int = 1) -> NDArray[Any]:
    """Packs q for as many rows as x has, and multiplies: for weights that are used once."""
    rows = np.size(x) // max(_checked(q).shape[1], 1)
    return pack(q, arithmetic, variant, threads, rows).matmul(x, threads)
