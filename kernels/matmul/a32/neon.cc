// SPDX-License-Identifier: Apache-2.0
#include "matmul/a32/neon.h"

namespace qb::matmul {

constexpr Kernels matmul_a32_neon = kernels_a32<Neon>();
constexpr Kernels matmul_f16_neon = kernels_f16<Neon>();

}  // namespace qb::matmul
