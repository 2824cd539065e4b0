// SPDX-License-Identifier: Apache-2.0
// 8-bit floats in plain C++: `scalar` (vectorisation off), `autovec` and `autovec_avx2` (on).
#include "convert/kernels.h"
#include "core/scalar_fp8.h"

namespace qb::convert {

void QB_SYMBOL(convert_e4m3_f32)(const e4m3* x, std::size_t n, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = e4m3_to_f32(x[i]);
}

void QB_SYMBOL(convert_f32_e4m3)(const float* x, std::size_t n, e4m3* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = f32_to_e4m3(x[i]);
}

void QB_SYMBOL(convert_e5m2_f32)(const e5m2* x, std::size_t n, float* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = e5m2_to_f32(x[i]);
}

void QB_SYMBOL(convert_f32_e5m2)(const float* x, std::size_t n, e5m2* y) {
  for (std::size_t i = 0; i < n; ++i) y[i] = f32_to_e5m2(x[i]);
}

}  // namespace qb::convert
