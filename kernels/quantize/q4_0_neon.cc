// SPDX-License-Identifier: Apache-2.0
// q4_0, NEON (armv8-a). Pairwise maxima and minima reduce four blocks to one vector each, so that
// one division serves them all.
#include "quantize/kernels.h"
#include "quantize/s4_neon.h"

namespace qb::quantize {
namespace {

/// The signed value of the largest magnitude among 32, the first on a tie; +0 if all are zero.
inline float first_extreme(const float* x, float magnitude) {
  for (std::size_t j = 0; j < kBlock; ++j)
    if (__builtin_fabsf(x[j]) == magnitude) return x[j] + 0.0f;
  return magnitude;  // NaN
}

/// The same of four blocks, through trees of pairwise maxima and minima.
inline float32x4_t signed_extremes(const float* x) {
  float32x4_t high[4], low[4];
  for (std::size_t i = 0; i < 4; ++i) {
    float32x4_t v[8], u[4];
    for (std::size_t j = 0; j < 8; ++j) v[j] = vld1q_f32(x + i * kBlock + 4 * j);
    for (std::size_t j = 0; j < 4; ++j) u[j] = vminq_f32(v[j], v[j + 4]);
    for (std::size_t j = 0; j < 4; ++j) v[j] = vmaxq_f32(v[j], v[j + 4]);
    high[i] = vmaxq_f32(vmaxq_f32(v[0], v[1]), vmaxq_f32(v[2], v[3]));
    low[i] = vminq_f32(vminq_f32(u[0], u[1]), vminq_f32(u[2], u[3]));
  }
  const float32x4_t most = vpmaxq_f32(vpmaxq_f32(high[0], high[1]), vpmaxq_f32(high[2], high[3]));
  const float32x4_t least = vpminq_f32(vpminq_f32(low[0], low[1]), vpminq_f32(low[2], low[3]));
  const float32x4_t depth = vnegq_f32(least), magnitude = vmaxq_f32(most, depth);
  float32x4_t extreme = vbslq_f32(vcgtq_f32(depth, most), least, most);
  const uint32x4_t tie = vbicq_u32(vceqq_f32(depth, most), vceqzq_f32(most));
  if (vmaxvq_u32(tie) != 0) {  // rare: look for the first
    float m[4], e[4];
    vst1q_f32(m, magnitude);
    for (std::size_t i = 0; i < 4; ++i) e[i] = first_extreme(x + i * kBlock, m[i]);
    extreme = vld1q_f32(e);
  }
  return vaddq_f32(extreme, vdupq_n_f32(0));
}

/// min(15, trunc(x*id + 8.5)) of 16 elements.
inline uint8x16_t nibbles16(const float* x, float id) {
  const auto four = [=](const float* at) {
    return vmovn_u32(vcvtq_u32_f32(vaddq_f32(vmulq_n_f32(vld1q_f32(at), id), vdupq_n_f32(8.5f))));
  };
  const uint16x8_t low = vcombine_u16(four(x), four(x + 4));
  const uint16x8_t high = vcombine_u16(four(x + 8), four(x + 12));
  return vminq_u8(vcombine_u8(vmovn_u16(low), vmovn_u16(high)), vdupq_n_u8(15));
}

}  // namespace

void quantize_f32_q4_0_neon(const float* x, std::size_t blocks, BlockQ4_0* y) {
  const auto block = [](const float* from, f16 d, float id, BlockQ4_0* to) {
    to->d = d;
    vst1q_u8(to->qs, vsliq_n_u8(nibbles16(from, id), nibbles16(from + 16, id), 4));
  };
  for (; blocks >= 4; blocks -= 4) {
    const float32x4_t d = vmulq_n_f32(signed_extremes(x), -0.125f);
    f16 stored[4];
    float id[4];
    store4(stored, d);
    vst1q_f32(id, finite_or_zero(vdivq_f32(vdupq_n_f32(1.0f), d)));
    for (std::size_t i = 0; i < 4; ++i, x += kBlock) block(x, stored[i], id[i], y++);
  }
  for (; blocks; --blocks, x += kBlock) {
    const float d = first_extreme(x, absmax_of_1(x, kBlock)) * -0.125f;
    block(x, narrowed(d), finite_or_zero(1.0f / d), y++);
  }
}

void dequantize_q4_0_f32_neon(const BlockQ4_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    // Flipping the sign bit of a stored nibble n gives n - 8 in two's complement.
    const uint8x16_t bytes = veorq_u8(vld1q_u8(x[i].qs), vdupq_n_u8(0x88));
    const float d = widened(x[i].d);
    scaled(even_codes(bytes), d, y);
    scaled(odd_codes(bytes), d, y + 16);
  }
}

}  // namespace qb::quantize
