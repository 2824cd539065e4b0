# SPDX-License-Identifier: Apache-2.0
"""One call of an operation by its name: what a kernel is given, what must come out, and the same
call of a variant of ours. What must come out is what our plain loops (the variant `scalar`) give,
which the tests hold to an independent oracle; of a product it is its float64 value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from quantbench import _core
from quantbench._arrays import DTYPES, F16, F32, as_bytes
from quantbench._catalog import formats
from quantbench._weights import Quantized, dequantize, quantize

Shape = tuple[int, ...]
Values = Callable[[Shape], NDArray[Any]]

#: The type of a scale, of every format of groups with a zero point.
ZERO_POINTS: dict[str, Any] = {"u4f": F32, "u4h": F16}
#: Weights of a block and its bytes, of every format in blocks that can be quantized.
BLOCKS: dict[str, tuple[int, int]] = {
    name: (weights, width) for name, weights, width in _core.block_formats()}
ARRAY_OPERATIONS: list[str] = _core.array_operations()


class Call(Protocol):
    def time(self, calls: int) -> float:
        """Seconds that so many calls take."""


class Wrong(ValueError):
    """A function's result is not the operation's."""


@dataclass(frozen=True)
class Problem:
    given: tuple[Any, ...]
    wanted: tuple[NDArray[Any], ...]
    work: int  #: elements, or multiplications and additions
    variant: Callable[[str], Call]
    most_nmse: float = 0  #: 0: every bit must be right, but any NaN is any other

    def outputs(self) -> tuple[NDArray[Any], ...]:
        """Arrays for the results, full of what no result is."""
        arrays = tuple(np.empty_like(a) for a in self.wanted)
        for a in arrays:
            as_bytes(a)[:] = 0xA5
        return arrays

    def check(self, results: tuple[Any, ...]) -> None:
        """Raises Wrong unless these are the results."""
        if len(results) != len(self.wanted):
            raise Wrong(f"it gave {len(results)} results, not {len(self.wanted)}")
        for result, wanted in zip(results, self.wanted):
            got = _as_wanted(result, wanted)
            if self.most_nmse:
                _check_nmse(got, wanted, self.most_nmse)
            else:
                _check_bits(got, wanted)


def _as_wanted(result: Any, wanted: NDArray[Any]) -> NDArray[Any]:
    got = np.asarray(result)
    if got.shape == (1,) and wanted.shape == ():
        got = got.reshape(())
    if got.shape != wanted.shape:
        raise Wrong(f"its result is {got.shape}, not {wanted.shape}")
    # A number of Python's is a float64, whatever it was computed in.
    if not (isinstance(result, float) or np.can_cast(got.dtype, wanted.dtype, "safe")):
        raise Wrong(f"its result is {got.dtype}, not {wanted.dtype}")
    return np.ascontiguousarray(got.astype(wanted.dtype))


def _check_bits(got: NDArray[Any], wanted: NDArray[Any]) -> None:
    bits = np.dtype(f"u{wanted.dtype.itemsize}")
    differs = np.atleast_1d(got).view(bits) != np.atleast_1d(wanted).view(bits)
    if wanted.dtype.kind not in "iu":
        differs &= ~(np.isnan(got) & np.isnan(wanted))
    if differs.any():
        at = np.unravel_index(int(np.argmax(differs)), differs.shape)
        where = f"[{', '.join(str(i) for i in at)}]" if wanted.shape else ""
        raise Wrong(f"its result{where} is {np.atleast_1d(got)[at]!r}, expected "
                    f"{np.atleast_1d(wanted)[at]!r}; {int(differs.sum())} of {wanted.size} differ")


def nmse(got: NDArray[Any], wanted: NDArray[Any]) -> float:
    """The squared error over the squared values."""
    error = got.astype(np.float64) - wanted.astype(np.float64)
    return float((error**2).sum() / max(float((wanted.astype(np.float64)**2).sum()), 1e-300))


def _check_nmse(got: NDArray[Any], wanted: NDArray[Any], most: float) -> None:
    error = nmse(got, wanted)
    if not error <= most:  # NaN is no less
        raise Wrong(f"its result has an NMSE of {error:.2g}, more than {most:.2g}")


def _codes(kind: str, shape: Shape) -> tuple[Any, Shape]:
    """Type and shape of s8 or s4 codes; groups of s4 each start on a byte."""
    if kind == "s8":
        return np.int8, shape
    return np.uint8, (*shape[:-1], (shape[-1] + 1) // 2)


def _outputs(operation: str, shape: Shape) -> tuple[list[tuple[Any, Shape]], tuple[int, ...]]:
    """Types and shapes of an array operation's results for x of that shape, and its sizes."""
    verb, *names = operation.split("_")
    size, length = math.prod(shape), shape[-1]
    rows = size // length
    if verb == "convert":
        return [(DTYPES[names[1]], shape)], (size,)
    if verb == "absmax":
        return [(F32, shape[:-1])], (rows, length)
    if verb == "pack":
        return [_codes("s4", (size,))], (size,)
    if verb == "unpack":
        return [(np.int8, (2 * size,))], (2 * size,)
    format = _format_of(operation)
    if verb == "quantize":
        if format in BLOCKS:
            weights, width = BLOCKS[format]
            return [(np.uint8, (*shape[:-1], length // weights * width))], (size // weights,)
        if format in ZERO_POINTS:
            return [_codes("s4", shape), (ZERO_POINTS[format], shape[:-1]),
                    (np.uint8, ((rows + 1) // 2,))], (rows, length)
        scale = F32 if names[0] == "f32" and not format.endswith("g") else F16
        return [_codes(format[:2], shape), (scale, shape[:-1])], (rows, length)
    sizes = (size // BLOCKS[format][0],) if format in BLOCKS else (rows, length)
    return [(DTYPES[names[-1]], shape)], sizes


def _format_of(operation: str) -> str:
    """q4_K of quantize_f32_q4_K and of dequantize_q4_K_f32."""
    if operation.startswith("quantize_"):
        return operation.split("_", 2)[2]
    return operation[len("dequantize_"):].rsplit("_", 1)[0]


def source_type(operation: str) -> np.dtype[Any]:
    """The type of x: of what is converted, or of the weights that become quantized."""
    if operation == "pack_s4":
        return DTYPES["s8"]
    if operation == "unpack_s4":
        return DTYPES["u8"]
    if operation.startswith("dequantize_"):
        return DTYPES[operation.rsplit("_", 1)[1]]
    return DTYPES[operation.split("_")[1]]


def unit(operation: str) -> int:
    """What the last axis must be a multiple of."""
    return BLOCKS.get(_format_of(operation), (1, 1))[0] if "quantize_" in operation else 1


def groups(operation: str) -> bool:
    """Whether the last axis is a group of 32, 64 or 128."""
    return "quantize_" in operation and _format_of(operation) in ("s8g", "s4g", *ZERO_POINTS)


def _run(operation: str, variant: str, given: tuple[NDArray[Any], ...], shape: Shape
         ) -> tuple[Call, tuple[NDArray[Any], ...]]:
    described, sizes = _outputs(operation, shape)
    results = tuple(np.empty(size, dtype) for dtype, size in described)
    call = _core.ArrayCall(operation, variant, [as_bytes(a) for a in (*given, *results)], sizes)
    return call, results


def array_problem(operation: str, shape: Shape, values: Values) -> Problem:
    x = np.ascontiguousarray(values(shape))
    given: tuple[NDArray[Any], ...] = (x,)
    if operation.startswith("dequantize_"):
        inverse = f"quantize_{operation.rsplit('_', 1)[1]}_{_format_of(operation)}"
        call, given = _run(inverse, "scalar", given, shape)
        call.time(1)
    call, wanted = _run(operation, "scalar", given, shape)
    call.time(1)
    return Problem(given, wanted, math.prod(shape),
                   lambda variant: _run(operation, variant, given, shape)[0])


def product_problem(operation: str, shape: Shape, seed: int,
                    prepare: Callable[[Quantized], Any] | None, threads: int) -> Problem:
    """x [m, k] times the weights [n, k]. At most four times the NMSE of our plain loops may come of
    an arithmetic, and 1e-10."""
    _, arithmetic, format = operation.split("_", 2)
    m, n, k = shape
    rng = np.random.default_rng(seed)
    group = 32 if formats()[format].in_groups else None
    q = quantize(rng.standard_normal((n, k), np.float32), format, group)
    x = rng.standard_normal((m, k), np.float32).astype(F16 if arithmetic == "f16" else F32)
    exact = x.astype(np.float64) @ dequantize(q).astype(np.float64).T

    def start(variant: str) -> tuple[Call, NDArray[Any]]:
        y = np.empty((m, n), x.dtype)
        call: Call = _core.MatmulCall(q.format, *q._arguments(), arithmetic, variant, as_bytes(x),
                                      m, as_bytes(y), threads)
        return call, y

    call, y = start("scalar")
    call.time(1)
    wanted = exact.astype(x.dtype)
    return Problem((x, q if prepare is None else prepare(q)), (wanted,), 2 * m * n * k,
                   lambda variant: start(variant)[0], max(4 * nmse(y, wanted), 1e-10))


def _any_bits(rng: np.random.Generator, dtype: np.dtype[Any]) -> Values:
    """Any pattern of bits: infinities, NaNs, subnormals."""
    return lambda shape: np.frombuffer(rng.bytes(math.prod(shape) * dtype.itemsize),
                                       dtype).reshape(shape).copy()


def _ties(rng: np.random.Generator, dtype: np.dtype[Any]) -> Values:
    """Halves of whole numbers up to 127: with a largest one of 127 every odd one is a tie."""
    def values(shape: Shape) -> NDArray[Any]:
        x = rng.integers(-254, 255, shape) / 2
        x[..., 0] = 127
        return x.astype(dtype)
    return values


def normal(rng: np.random.Generator, dtype: np.dtype[Any], scale: float = 1) -> Values:
    if dtype == np.int8:
        return lambda shape: rng.integers(-8, 8, shape, np.int8)
    if dtype == np.uint8:
        return _any_bits(rng, dtype)
    return lambda shape: (scale * rng.standard_normal(shape)).astype(dtype)


def small_problems(operation: str, shape: Shape, rng: np.random.Generator) -> Iterator[Problem]:
    """Of as many axes as `shape`: short, odd and long rows, and values that tell a right kernel
    from a wrong one. Quantizing takes finite ones only."""
    dtype, step = source_type(operation), unit(operation)
    kinds = [normal(rng, dtype)]
    if operation.startswith(("convert_", "absmax_")):
        kinds.append(_any_bits(rng, dtype))
    elif "quantize_" in operation:
        kinds += [_ties(rng, dtype), normal(rng, dtype, 1e-4), normal(rng, dtype, 0)]
    if groups(operation):
        lengths = [32, 64, 128]
    elif step > 1:
        lengths = [step * n for n in (1, 2, 3, 5)]
    else:
        lengths = [1, 2, 3, 7, 15, 16, 17, 31, 33, 127, 1000]
    others = len(shape) - 1
    for values in kinds:
        for length in lengths:
            for axes in dict.fromkeys([(1,) * others, (3,) * others]):
                yield array_problem(operation, (*axes, length), values)
