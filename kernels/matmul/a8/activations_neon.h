// SPDX-License-Identifier: Apache-2.0
// Quantizing activations on NEON: what its variants of the int8 products share.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <arm_neon.h>

#include "matmul/a8/activations.h"
#include "matmul/source.h"

namespace qb::matmul {
namespace {

[[maybe_unused]] inline float widened(f16 half) {
  return vgetq_lane_f32(
      vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(static_cast<std::uint16_t>(half)))), 0);
}

[[maybe_unused]] inline float widened(bf16 half) {
  return __builtin_bit_cast(float, std::uint32_t{static_cast<std::uint16_t>(half)} << 16);
}
[[maybe_unused]] inline float widened(float scale) { return scale; }
[[maybe_unused]] inline float widened(ScaleAndMinimum scale) { return scale.scale; }
[[maybe_unused]] inline float widened(ScaleOf32 scale) { return scale.scale; }
[[maybe_unused]] inline float widened(ScaleOf16 scale) { return scale.scale; }
[[maybe_unused]] inline float widened(HalfOf16 half) { return widened(half.scale); }

[[maybe_unused]] inline float rounded_to_f16(float x) {
  return vgetq_lane_f32(vcvt_f32_f16(vcvt_f16_f32(vdupq_n_f32(x))), 0);
}

/// 32 values; what `count` does not reach is zero.
[[maybe_unused]] inline void load_block(const float* x, std::size_t count, float32x4_t (&v)[8]) {
  float padded[kBlock];
  if (count < kBlock) {
    for (std::size_t i = 0; i < kBlock; ++i) padded[i] = i < count ? x[i] : 0.0f;
    x = padded;
  }
  for (int i = 0; i < 8; ++i) v[i] = vld1q_f32(x + 4 * i);
}

inline float32x4_t magnitudes(const float32x4_t (&v)[8]) {
  float32x4_t a = vabsq_f32(v[0]);
  for (int i = 1; i < 8; ++i) a = vmaxq_f32(a, vabsq_f32(v[i]));
  return a;
}

/// Of a block.
[[maybe_unused]] inline float absmax(const float32x4_t (&v)[8]) {
  return vmaxvq_f32(magnitudes(v));
}

/// Of a row.
[[maybe_unused]] inline float absmax(const float* x, std::size_t k) {
  float32x4_t largest = vdupq_n_f32(0), v[8];
  for (std::size_t i = 0; i < k; i += kBlock) {
    load_block(x + i, k - i, v);
    largest = vmaxq_f32(largest, magnitudes(v));
  }
  return vmaxvq_f32(largest);
}

/// Codes of 32 values. half_away: a tie goes away from zero, otherwise to even.
template <bool half_away>
inline int8x16x2_t quantize_block(const float32x4_t (&v)[8], float inverse) {
  int16x4_t q[8];
  for (int i = 0; i < 8; ++i) {
    const float32x4_t scaled = vmulq_n_f32(v[i], inverse);
    q[i] = vqmovn_s32(half_away ? vcvtaq_s32_f32(scaled) : vcvtnq_s32_f32(scaled));
  }
  int8x16x2_t bytes;
  for (int i = 0; i < 2; ++i)
    bytes.val[i] = vcombine_s8(vqmovn_s16(vcombine_s16(q[4 * i], q[4 * i + 1])),
                               vqmovn_s16(vcombine_s16(q[4 * i + 2], q[4 * i + 3])));
  return bytes;
}

}  // namespace
}  // namespace qb::matmul
