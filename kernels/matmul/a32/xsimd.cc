// SPDX-License-Identifier: Apache-2.0
#include "matmul/a32/xsimd.h"

namespace qb::matmul {

constexpr Kernels QB_SYMBOL(matmul_a32) = kernels_a32<Portable>();
constexpr Kernels QB_SYMBOL(matmul_f16) = kernels_f16<Portable>();

}  // namespace qb::matmul
