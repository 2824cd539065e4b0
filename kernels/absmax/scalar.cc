// SPDX-License-Identifier: Apache-2.0
// Absmax in plain C++: `scalar` (vectorisation off), `autovec` and `autovec_avx2` (on).
//
// An integer maximum over the bits with the sign cleared: for non-negative floats the order of the
// bits is the order of the values, and every NaN is above infinity, so NaN propagates by itself.
#include "absmax/kernels.h"
#include "core/scalar_half.h"

namespace qb::absmax {
void QB_SYMBOL(absmax_f32)(const float* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    std::uint32_t largest = 0;
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint32_t magnitude = bits_of(x[j]) & 0x7fffffffu;
      largest = magnitude > largest ? magnitude : largest;
    }
    out[i] = float_of(largest);
  }
}

void QB_SYMBOL(absmax_f16)(const f16* x, std::size_t groups, std::size_t len, float* out) {
  for (std::size_t i = 0; i < groups; ++i, x += len) {
    std::uint16_t largest = 0;
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint16_t magnitude = static_cast<std::uint16_t>(x[j]) & 0x7fffu;
      largest = magnitude > largest ? magnitude : largest;
    }
    out[i] = f16_to_f32(f16(largest));
  }
}

}  // namespace qb::absmax
