// SPDX-License-Identifier: Apache-2.0
// Float conversions in plain C++: `scalar` (vectorisation off), `autovec` and `autovec_avx2` (on).
// The arithmetic is integer, but for subnormal halves: scalar_half.h says how they are aligned.
#include "convert/kernels.h"
#include "core/scalar_half.h"

namespace qb::convert {

void QB_SYMBOL(convert_f16_f32)(const f16* x, std::size_t n, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = f16_to_f32(x[i]);
}

void QB_SYMBOL(convert_f32_f16)(const float* x, std::size_t n, f16* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = f32_to_f16(x[i]);
}

void QB_SYMBOL(convert_bf16_f32)(const bf16* x, std::size_t n, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = bf16_to_f32(x[i]);
}

void QB_SYMBOL(convert_f32_bf16)(const float* x, std::size_t n, bf16* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = f32_to_bf16(x[i]);
}

}  // namespace qb::convert
