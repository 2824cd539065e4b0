# SPDX-License-Identifier: Apache-2.0
"""The notebook's quantization of a whole float16 tensor, every step rounded to float16."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantbench import _core
from quantbench._arrays import F16, array, flat


def quantize_f16(x: ArrayLike, bits: int) -> tuple[NDArray[np.int8], np.float16]:
    """Codes of 8 or 4 bits, as int8 of x's shape, and the tensor's inverse scale, 127 or 7 over
    its absmax. Raises ValueError if x is not float16, empty, or not finite."""
    source = array("x", x, F16)
    if source.size == 0:
        raise ValueError("x is empty")
    inverse = np.empty(1, np.float16)
    codes = np.empty(source.shape, np.int8)
    if bits == 8:
        _core.quantize_f16_s8(flat(source), source.size, flat(codes), flat(inverse))
    elif bits == 4:
        packed = np.empty((source.size + 1) // 2, np.uint8)
        _core.quantize_f16_s4(flat(source), source.size, packed, flat(inverse))
        _core.unpack_s4(packed, flat(codes))
    else:
        raise ValueError(f"bits is {bits!r}, neither 8 nor 4")
    return codes, inverse[0]


def dequantize_f16(codes: ArrayLike, inverse: float) -> NDArray[np.float16]:
    """float16(codes / inverse), of the codes' shape; 0 where inverse is 0.

    The same for codes of 8 and of 4 bits, if both come as int8."""
    source = array("codes", codes, np.dtype(np.int8))
    result = np.empty(source.shape, np.float16)
    with np.errstate(over="ignore"):  # which is refused
        scale = np.array([inverse], np.float16)
    if source.size:
        _core.dequantize_s8_f16(flat(source), source.size, flat(scale), flat(result))
    return result


def unpack_s4(packed: ArrayLike, shape: int | tuple[int, ...]) -> NDArray[np.int8]:
    """Codes of 4 bits, two a byte, the even index in the low nibble, as int8 of that shape."""
    source = array("packed", packed, np.dtype(np.uint8))
    result = np.empty(shape, np.int8)
    if source.size != (result.size + 1) // 2:
        raise ValueError(f"packed has {source.size} bytes, but {shape} codes take "
                         f"{(result.size + 1) // 2}")
    _core.unpack_s4(flat(source), flat(result))
    return result
