// SPDX-License-Identifier: Apache-2.0
// Products of bf16 activations and weights, held as the f32 they stand for.
#include "matmul/a32/avx2.h"

namespace qb::matmul {

constexpr Kernels matmul_abf16_avx2 = kernels_abf16<Avx2>();

}  // namespace qb::matmul
