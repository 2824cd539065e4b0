// SPDX-License-Identifier: Apache-2.0
// Products of bf16 activations and weights, held as the f32 they stand for.
#include "matmul/a32/avx512.h"

namespace qb::matmul {

constexpr Kernels matmul_abf16_avx512 = kernels_abf16<Avx512>();

}  // namespace qb::matmul
