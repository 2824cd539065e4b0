# SPDX-License-Identifier: Apache-2.0
"""Quantized weights on CPUs: the kernels of the quantbench suite on NumPy arrays.

    import numpy as np, quantbench as qb

    w = np.random.randn(4096, 4096).astype(np.float32)   # [outputs, inputs]
    x = np.random.randn(2, 4096).astype(np.float32)
    q = qb.quantize(w, "q4_0")
    packed = qb.pack(q, arithmetic="a8", threads=2)      # once, for the best variant of this CPU
    y = packed.matmul(x, threads=2)                      # [2, 4096]

Weights are [outputs N, inputs K]; a product is ``x @ w.T``. Contiguous arrays are used as they are,
others are copied first. Wrong shapes, types and values are ValueErrors that say which. Kernels run
without the interpreter lock.
"""

from quantbench import _core
from quantbench._arrays import absmax, convert
from quantbench._catalog import Format, Variant, formats, variants
from quantbench._notebook import dequantize_f16, quantize_f16, unpack_s4
from quantbench._problems import Wrong
from quantbench._rank import Ranking, operations, rank
from quantbench._weights import Packed, Quantized, dequantize, matmul, pack, quantize

__version__: str = _core.version

__all__ = [
    "Format", "Packed", "Quantized", "Ranking", "Variant", "Wrong", "absmax", "convert",
    "dequantize", "dequantize_f16", "formats", "matmul", "operations", "pack", "quantize",
    "quantize_f16", "rank", "unpack_s4", "variants",
]
