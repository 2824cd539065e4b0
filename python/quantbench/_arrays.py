# SPDX-License-Identifier: Apache-2.0
"""Operations on arrays of any shape: conversion and absmax; and what the other modules check by."""

from __future__ import annotations

import sys
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from quantbench import _core

F32 = np.dtype(np.float32)
F16 = np.dtype(np.float16)
BF16 = np.dtype(ml_dtypes.bfloat16)

#: Of element types, by their names in operations.
DTYPES: dict[str, np.dtype[Any]] = {
    "f32": F32, "f16": F16, "bf16": BF16, "e4m3": np.dtype(ml_dtypes.float8_e4m3fn),
    "e5m2": np.dtype(ml_dtypes.float8_e5m2), "s8": np.dtype(np.int8), "u8": np.dtype(np.uint8)}

_CONVERSIONS = {
    tuple(DTYPES[name] for name in operation.split("_")[1:]): operation
    for operation in _core.array_operations() if operation.startswith("convert_")}


def array(name: str, value: ArrayLike, *dtypes: np.dtype[Any]) -> NDArray[Any]:
    """`value` as a contiguous, aligned array, not copied if it is one; ValueError if of another
    type."""
    result = np.asarray(value)
    if result.dtype not in dtypes:
        wanted = " or ".join(str(dtype) for dtype in dtypes)
        raise ValueError(f"{name} is of type {result.dtype}, not {wanted}")
    return np.require(result, requirements=["C", "ALIGNED"])


def count(name: str, value: int, least: int = 0, most: int = sys.maxsize) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f"{name} is {value!r}, not a whole number")
    if value < least:
        raise ValueError(f"{name} is {value}, less than {least}")
    if value > most:
        raise ValueError(f"{name} is {value}, more than {most}")
    return int(value)


def threads_of(value: int) -> int:
    """A number of threads as the library takes it."""
    return count("threads", value, 1, 4096)


def text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is {value!r}, not a string")
    return value


def flat(a: NDArray[Any]) -> NDArray[Any]:
    """One dimension; halves of either kind as uint16."""
    a = a.reshape(-1)
    return a.view(np.uint16) if a.dtype in (F16, BF16) else a


def as_bytes(a: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of a contiguous array, not copied."""
    return a.reshape(-1).view(np.uint8)


def convert(x: ArrayLike, dtype: DTypeLike) -> NDArray[Any]:
    """x as another type, of the same shape: float32 from or to float16, and ml_dtypes' bfloat16,
    float8_e4m3fn and float8_e5m2 (operations() has a convert_... of each).

    Widening is exact; narrowing rounds to nearest, ties to even, and overflows to infinity, or in
    float8_e4m3fn, which has none, to 448 (ml_dtypes makes it NaN); NaN stays NaN, quiet, its top
    payload kept where there is room for one. Raises ValueError for any other pair of types.
    """
    source = array("x", x, *dict.fromkeys(pair[0] for pair in _CONVERSIONS))
    try:
        target = np.dtype(dtype)
    except TypeError:
        raise ValueError(f"dtype is {dtype!r}, no type of an array") from None
    operation = _CONVERSIONS.get((source.dtype, target))
    if operation is None:
        known = ", ".join(f"{a} to {b}" for a, b in _CONVERSIONS)
        raise ValueError(f"no conversion from {source.dtype} to {target}; there are: {known}")
    result = np.empty(source.shape, target)
    _core.convert(operation, as_bytes(source), source.size, as_bytes(result))
    return result


def absmax(x: ArrayLike, group: int | None = None) -> np.float32 | NDArray[np.float32]:
    """The largest magnitude of x (float32 or float16): NaN if any element is, 0 of nothing.

    With `group`, of each run of `group` elements along the last axis, which it must divide: the
    result has x's shape but for the last axis, of K // group.
    """
    source = array("x", x, F32, F16)
    kernel = _core.absmax_f32 if source.dtype == F32 else _core.absmax_f16
    if group is None:
        result = np.zeros(1, np.float32)
        if source.size:
            kernel(flat(source), source.size, result)
        return np.float32(result[0])
    group = count("group", group, 1)
    if source.ndim == 0 or source.shape[-1] % group:
        raise ValueError(f"group is {group}, which does not divide the last axis of {source.shape}")
    result = np.empty((*source.shape[:-1], source.shape[-1] // group), np.float32)
    if result.size:
        kernel(flat(source), group, result.reshape(-1))
    return result
