// SPDX-License-Identifier: Apache-2.0
// s8 in plain C++: `scalar` (vectorisation off), `autovec` and `autovec_avx2` (on).
//
// No clip is written: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is 127 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/kernels.h"
#include "quantize/scalar.h"

namespace qb::quantize {
namespace {

/// rne(v) for |v| < 2^22: the sum has no fraction bits left, and its low byte is the integer's.
inline std::int8_t nearest(float v) { return std::int8_t(bits_of(v + 0x1.8p23f)); }

/// Codes of one f32 group; returns its scale in f32.
inline float quantize(const float* __restrict x, std::size_t len, std::int8_t* __restrict q) {
  const float largest = absmax(x, len);
  const float inv = finite_magnitude_or_zero(127.0f / largest);  // 0 for a group of zeros
  for (std::size_t j = 0; j < len; ++j) q[j] = nearest(x[j] * inv);
  return inv != 0.0f ? largest / 127.0f : 0.0f;
}

inline void dequantize(const std::int8_t* __restrict q, std::size_t len, float scale,
                       float* __restrict y) {
  for (std::size_t j = 0; j < len; ++j) y[j] = float(q[j]) * scale;
}

}  // namespace

void QB_SYMBOL(quantize_f32_s8)(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                                float* scale) {
  for (std::size_t i = 0; i < groups; ++i) scale[i] = quantize(x + i * len, len, q + i * len);
}

void QB_SYMBOL(quantize_f32_s8g)(const float* x, std::size_t groups, std::size_t len,
                                 std::int8_t* q, f16* scale) {
  for (std::size_t i = 0; i < groups; ++i)
    scale[i] = f32_to_f16(quantize(x + i * len, len, q + i * len));
}

void QB_SYMBOL(quantize_f16_s8)(const f16* __restrict x, std::size_t groups, std::size_t len,
                                std::int8_t* __restrict q, f16* __restrict inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    const float largest = absmax(x, len);
    float wide = 127.0f / largest;
    wide = wide < 65504.0f ? wide : 65504.0f;
    const f16 stored = f32_to_f16(largest == 0.0f ? 0.0f : wide);
    const float factor = f16_to_f32(stored);
    for (std::size_t j = 0; j < len; ++j)
      q[j] = nearest(f16_to_f32(f32_to_f16(f16_to_f32(x[j]) * factor)));
    inv[i] = stored;
  }
}

void QB_SYMBOL(dequantize_s8_f32)(const std::int8_t* q, std::size_t groups, std::size_t len,
                                  const float* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i) dequantize(q + i * len, len, scale[i], y + i * len);
}

void QB_SYMBOL(dequantize_s8g_f32)(const std::int8_t* q, std::size_t groups, std::size_t len,
                                   const f16* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i)
    dequantize(q + i * len, len, f16_to_f32(scale[i]), y + i * len);
}

void QB_SYMBOL(dequantize_s8_f16)(const std::int8_t* __restrict q, std::size_t groups,
                                  std::size_t len, const f16* inv, f16* __restrict y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) {
    // A product with the reciprocal rounds to the same f16 as the quotient. With q = Q, inv = I and
    // a rounding boundary M as integers of 7, 11 and 12 bits, q/inv is never on a boundary (M would
    // divide Q) and differs from it by more than 2^-23 of itself; the product is nearer than that.
    const float divisor = f16_to_f32(inv[i]);
    const float reciprocal = divisor == 0.0f ? 0.0f : 1.0f / divisor;
    for (std::size_t j = 0; j < len; ++j)
      y[j] = f32_to_f16(float(divisor == 0.0f ? 0 : q[j]) * reciprocal);
  }
}

}  // namespace qb::quantize
