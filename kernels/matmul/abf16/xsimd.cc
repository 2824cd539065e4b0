// SPDX-License-Identifier: Apache-2.0
// Products of bf16 activations and weights, held as the f32 they stand for.
#include "matmul/a32/xsimd.h"

namespace qb::matmul {

constexpr Kernels QB_SYMBOL(matmul_abf16) = kernels_abf16<Portable>();

}  // namespace qb::matmul
