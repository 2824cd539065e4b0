// Int8 quantization in plain C++: `scalar` (vectorisation off), `autovec` and `autovec_avx2` (on).
//
// No clip is written anywhere: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is
// 127 after rounding to an integer. (A non-finite input gives some code or other.)
#include "core/scalar_half.h"
#include "int8/kernels.h"

namespace qb::int8 {
namespace {

/// Largest magnitude, found on the bits: an integer maximum has no NaN to treat and vectorises.
inline float absmax(const float* x, std::size_t len) {
  std::uint32_t largest = 0;
  for (std::size_t j = 0; j < len; ++j) {
    const std::uint32_t magnitude = bits_of(x[j]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return float_of(largest);
}

inline float absmax(const f16* x, std::size_t len) {
  std::uint16_t largest = 0;
  for (std::size_t j = 0; j < len; ++j) {
    const std::uint16_t magnitude = static_cast<std::uint16_t>(x[j]) & 0x7fffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return f16_to_f32(f16(largest));
}

/// x, or 0 where it is not finite.
inline float finite_or_zero(float x) { return x <= 0x1.fffffep127f ? x : 0.0f; }

/// rne(v) for |v| < 2^22: the sum has no fraction bits left, and its low byte is the integer's.
inline std::int8_t nearest(float v) { return std::int8_t(bits_of(v + 0x1.8p23f)); }

/// v to the nearest integer, halves away from zero, |v| <= 127.5. Adding the float *below* one
/// half, with v's sign, lifts exact halves to the next integer (the sum rounds) and nothing under
/// them. No branch on the sign, which only a short array's signs would teach a predictor.
inline std::int8_t nearest_away(float v) {
  const float half = float_of((bits_of(v) & 0x80000000u) | bits_of(0x1.fffffep-2f));
  const float lifted = v + half;
  // NaN and infinity don't convert.
  return std::int8_t(int(__builtin_fabsf(lifted) < 129.0f ? lifted : 0.0f));
}

/// Codes of one f32 group; returns its scale in f32.
inline float quantize(const float* __restrict x, std::size_t len, std::int8_t* __restrict q) {
  const float largest = absmax(x, len);
  const float inv = finite_or_zero(127.0f / largest);  // 0 for a group of zeros
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

void QB_SYMBOL(quantize_f32_q8_0)(const float* __restrict x, std::size_t blocks,
                                  BlockQ8_0* __restrict y) {
  for (std::size_t i = 0; i < blocks; ++i, x += kBlock) {
    const float d = absmax(x, kBlock) / 127.0f;
    const float id = finite_or_zero(1.0f / d);
    y[i].d = f32_to_f16(d);
    for (std::size_t j = 0; j < kBlock; ++j) y[i].qs[j] = nearest_away(x[j] * id);
  }
}

void QB_SYMBOL(dequantize_q8_0_f32)(const BlockQ8_0* __restrict x, std::size_t blocks,
                                    float* __restrict y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock)
    dequantize(x[i].qs, kBlock, f16_to_f32(x[i].d), y);
}

}  // namespace qb::int8
