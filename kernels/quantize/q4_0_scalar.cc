// SPDX-License-Identifier: Apache-2.0
// q4_0 in plain C++: `scalar` (vectorisation off), `autovec` and `autovec_avx2` (on).
#include "core/unroll.h"
#include "quantize/kernels.h"
#include "quantize/scalar.h"

namespace qb::quantize {
namespace {

/// The signed value of the largest magnitude among 32, the first on a tie; +0 if all are zero.
/// Magnitudes first and the sign by a second, backward pass: both are loops without a branch.
inline float signed_extreme(const float* x) {
  const std::uint32_t largest = bits_of(absmax(x, kBlock));
  std::uint32_t first = 0;
  for (std::size_t j = kBlock; j-- > 0;)
    first = (bits_of(x[j]) & 0x7fffffffu) == largest ? bits_of(x[j]) : first;
  return float_of(first) + 0.0f;
}

/// min(15, trunc(v)) for 0 <= v < 17. The minimum is an integer's, which is no branch.
inline unsigned q4_0_nibble(float v) {
  const int n = int(__builtin_fabsf(v) < 17.0f ? v : 15.0f);  // NaN and infinity don't convert
  return unsigned(n < 15 ? n : 15);
}

}  // namespace

void QB_SYMBOL(quantize_f32_q4_0)(const float* __restrict x, std::size_t blocks,
                                  BlockQ4_0* __restrict y) {
  for (std::size_t i = 0; i < blocks; ++i, x += kBlock) {
    const float d = signed_extreme(x) / -8.0f;
    const float id = finite_or_zero(1.0f / d);
    y[i].d = f32_to_f16(d);
    QB_ROLLED for (std::size_t j = 0; j < kBlock / 2; ++j) y[i].qs[j] = std::uint8_t(
        q4_0_nibble(x[j] * id + 8.5f) | q4_0_nibble(x[j + kBlock / 2] * id + 8.5f) << 4);
  }
}

void QB_SYMBOL(dequantize_q4_0_f32)(const BlockQ4_0* __restrict x, std::size_t blocks,
                                    float* __restrict y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const float d = f16_to_f32(x[i].d);
    QB_ROLLED for (std::size_t j = 0; j < kBlock / 2; ++j) {
      y[j] = float(int(x[i].qs[j] & 15u) - 8) * d;
      y[j + kBlock / 2] = float(int(x[i].qs[j] >> 4) - 8) * d;
    }
  }
}

}  // namespace qb::quantize
