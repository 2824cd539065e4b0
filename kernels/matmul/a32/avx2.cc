// SPDX-License-Identifier: Apache-2.0
#include "matmul/a32/avx2.h"

namespace qb::matmul {

constexpr Kernels matmul_a32_avx2 = kernels_a32<Avx2>();
constexpr Kernels matmul_f16_avx2 = kernels_f16<Avx2>();

}  // namespace qb::matmul
