// SPDX-License-Identifier: Apache-2.0
#include "matmul/a32/avx512.h"

namespace qb::matmul {

constexpr Kernels matmul_a32_avx512 = kernels_a32<Avx512>();
constexpr Kernels matmul_f16_avx512 = kernels_f16<Avx512>();

}  // namespace qb::matmul
