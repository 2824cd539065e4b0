# SPDX-License-Identifier: Apache-2.0
"""A matrix of weights in q4_0 times a vector, and a function of one's own beside our variants."""

import numpy as np

import quantbench as qb

rng = np.random.default_rng(1)
w = rng.standard_normal((4096, 4096), np.float32)  # [outputs, inputs]
x = rng.standard_normal(4096, np.float32)

packed = qb.pack(qb.quantize(w, "q4_0"), arithmetic="a8")
y = packed.matmul(x)
exact = w.astype(np.float64) @ x
print(f"{packed.variant}: error {np.linalg.norm(y - exact) / np.linalg.norm(exact):.1%} of the product")

print(qb.rank(lambda x: np.abs(x).max(), op="absmax_f32", name="numpy"))
