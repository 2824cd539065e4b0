// SPDX-License-Identifier: Apache-2.0
// q8_0 in plain C++: `scalar` (vectorisation off), `autovec` and `autovec_avx2` (on).
#include "quantize/kernels.h"
#include "quantize/scalar.h"

namespace qb::quantize {
namespace {

/// v to the nearest integer, halves away from zero, |v| <= 127.5. Adding the float *below* one
/// half, with v's sign, lifts exact halves to the next integer (the sum rounds) and nothing under
/// them. No branch on the sign, which only a short array's signs would teach a predictor.
inline std::int8_t nearest_away(float v) {
  const float half = float_of((bits_of(v) & 0x80000000u) | bits_of(0x1.fffffep-2f));
  const float lifted = v + half;
  // NaN and infinity don't convert.
  return std::int8_t(int(__builtin_fabsf(lifted) < 129.0f ? lifted : 0.0f));
}

}  // namespace

void QB_SYMBOL(quantize_f32_q8_0)(const float* __restrict x, std::size_t blocks,
                                  BlockQ8_0* __restrict y) {
  for (std::size_t i = 0; i < blocks; ++i, x += kBlock) {
    const float d = absmax(x, kBlock) / 127.0f;
    const float id = finite_magnitude_or_zero(1.0f / d);
    y[i].d = f32_to_f16(d);
    for (std::size_t j = 0; j < kBlock; ++j) y[i].qs[j] = nearest_away(x[j] * id);
  }
}

void QB_SYMBOL(dequantize_q8_0_f32)(const BlockQ8_0* __restrict x, std::size_t blocks,
                                    float* __restrict y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const float d = f16_to_f32(x[i].d);
    for (std::size_t j = 0; j < kBlock; ++j) y[j] = float(x[i].qs[j]) * d;
  }
}

}  // namespace qb::quantize
