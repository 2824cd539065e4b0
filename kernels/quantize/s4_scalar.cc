// SPDX-License-Identifier: Apache-2.0
// s4 in plain C++: `scalar` (vectorisation off), `autovec` and `autovec_avx2` (on).
//
// No clip is written: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/kernels.h"
#include "quantize/scalar.h"

namespace qb::quantize {
namespace {

/// rne(v) for |v| < 2^22, as a nibble: the sum has no fraction bits left, and its low bits are
/// those of the integer.
inline unsigned nearest(float v) { return bits_of(v + 0x1.8p23f) & 15u; }

/// v rounded to the 11 significant bits of f16, nearest, ties to even. The range of f16 does not
/// come into it: |v| < 8, and below 2^-14, where f16 has fewer bits, the code is 0 either way.
inline float half_precision(float v) {
  const std::uint32_t b = bits_of(v);
  return float_of((b + 0xfffu + (b >> 13 & 1u)) & 0xffffe000u);
}

/// Two's complement nibble to integer.
inline int low_code(std::uint8_t b) { return int((b & 15u) ^ 8u) - 8; }
inline int high_code(std::uint8_t b) { return int((b >> 4) ^ 8u) - 8; }

/// Codes of one f32 group; returns its scale in f32.
inline float quantize(const float* __restrict x, std::size_t len, std::uint8_t* __restrict q) {
  const float largest = absmax(x, len);
  const float inv = finite_or_zero(7.0f / largest);  // 0 for a group of zeros
  for (std::size_t j = 0; j < len / 2; ++j)
    q[j] = std::uint8_t(nearest(x[2 * j] * inv) | nearest(x[2 * j + 1] * inv) << 4);
  if (len % 2) q[len / 2] = std::uint8_t(nearest(x[len - 1] * inv));
  return inv != 0.0f ? largest / 7.0f : 0.0f;
}

inline void dequantize(const std::uint8_t* __restrict q, std::size_t len, float scale,
                       float* __restrict y) {
  for (std::size_t j = 0; j < len / 2; ++j) {
    y[2 * j] = float(low_code(q[j])) * scale;
    y[2 * j + 1] = float(high_code(q[j])) * scale;
  }
  if (len % 2) y[len - 1] = float(low_code(q[len / 2])) * scale;
}

}  // namespace

void QB_SYMBOL(quantize_f32_s4)(const float* x, std::size_t groups, std::size_t len,
                                std::uint8_t* q, float* scale) {
  for (std::size_t i = 0; i < groups; ++i)
    scale[i] = quantize(x + i * len, len, q + i * ((len + 1) / 2));
}

void QB_SYMBOL(quantize_f32_s4g)(const float* x, std::size_t groups, std::size_t len,
                                 std::uint8_t* q, f16* scale) {
  for (std::size_t i = 0; i < groups; ++i)
    scale[i] = f32_to_f16(quantize(x + i * len, len, q + i * ((len + 1) / 2)));
}

void QB_SYMBOL(quantize_f16_s4)(const f16* __restrict x, std::size_t groups, std::size_t len,
                                std::uint8_t* __restrict q, f16* __restrict inv) {
  for (std::size_t i = 0; i < groups; ++i, x += len, q += (len + 1) / 2) {
    const float largest = absmax(x, len);
    float wide = 7.0f / largest;
    wide = wide < 65504.0f ? wide : 65504.0f;
    const f16 stored = f32_to_f16(largest == 0.0f ? 0.0f : wide);
    const float factor = f16_to_f32(stored);
    const auto code = [=](f16 e) { return nearest(half_precision(f16_to_f32(e) * factor)); };
    for (std::size_t j = 0; j < len / 2; ++j)
      q[j] = std::uint8_t(code(x[2 * j]) | code(x[2 * j + 1]) << 4);
    if (len % 2) q[len / 2] = std::uint8_t(code(x[len - 1]));
    inv[i] = stored;
  }
}

void QB_SYMBOL(dequantize_s4_f32)(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                  const float* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i)
    dequantize(q + i * ((len + 1) / 2), len, scale[i], y + i * len);
}

void QB_SYMBOL(dequantize_s4g_f32)(const std::uint8_t* q, std::size_t groups, std::size_t len,
                                   const f16* scale, float* y) {
  for (std::size_t i = 0; i < groups; ++i)
    dequantize(q + i * ((len + 1) / 2), len, f16_to_f32(scale[i]), y + i * len);
}

void QB_SYMBOL(dequantize_s4_f16)(const std::uint8_t* __restrict q, std::size_t groups,
                                  std::size_t len, const f16* __restrict inv, f16* __restrict y) {
  for (std::size_t i = 0; i < groups; ++i, q += (len + 1) / 2, y += len) {
    // A group has sixteen results at most.
    const float divisor = f16_to_f32(inv[i]);
    f16 result[16];
    for (unsigned n = 0; n < 16; ++n)
      result[n] = divisor == 0.0f ? f16(0) : f32_to_f16(float(low_code(std::uint8_t(n))) / divisor);
    for (std::size_t j = 0; j < len / 2; ++j) {
      y[2 * j] = result[q[j] & 15u];
      y[2 * j + 1] = result[q[j] >> 4];
    }
    if (len % 2) y[len - 1] = result[q[len / 2] & 15u];
  }
}

void QB_SYMBOL(pack_s4)(const std::int8_t* __restrict q, std::size_t n,
                        std::uint8_t* __restrict packed) {
  for (std::size_t j = 0; j < n / 2; ++j)
    packed[j] = std::uint8_t((unsigned(q[2 * j]) & 15u) | (unsigned(q[2 * j + 1]) & 15u) << 4);
  if (n % 2) packed[n / 2] = std::uint8_t(unsigned(q[n - 1]) & 15u);
}

void QB_SYMBOL(unpack_s4)(const std::uint8_t* __restrict packed, std::size_t n,
                          std::int8_t* __restrict q) {
  for (std::size_t j = 0; j < n / 2; ++j) {
    q[2 * j] = std::int8_t(low_code(packed[j]));
    q[2 * j + 1] = std::int8_t(high_code(packed[j]));
  }
  if (n % 2) q[n - 1] = std::int8_t(low_code(packed[n / 2]));
}

}  // namespace qb::quantize
