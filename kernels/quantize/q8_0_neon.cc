// SPDX-License-Identifier: Apache-2.0
// q8_0, NEON (armv8-a). As groups of 32 in s8_neon.cc; FCVTAS rounds half away from zero.
#include "quantize/s8_neon.h"

#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

inline void block(const float* x, BlockQ8_0* y, f16 d, float32x4_t id) {
  y->d = d;
  codes16<HalfAway>(x, id, y->qs);
  codes16<HalfAway>(x + 16, id, y->qs + 16);
}

}  // namespace

void quantize_f32_q8_0_neon(const float* x, std::size_t blocks, BlockQ8_0* y) {
  for (; blocks >= 4; blocks -= 4) {
    const float32x4_t scale = vdivq_f32(absmax_of_4(x, kBlock), vdupq_n_f32(127.0f));
    float factor[4];
    f16 d[4];
    vst1q_f32(factor, finite_or_zero(vdivq_f32(vdupq_n_f32(1.0f), scale)));
    store4(d, scale);
    for (std::size_t i = 0; i < 4; ++i, x += kBlock) block(x, y++, d[i], vdupq_n_f32(factor[i]));
  }
  for (; blocks; --blocks, x += kBlock) {
    const float d = absmax_of_1(x, kBlock) / 127.0f;
    block(x, y++, narrowed(d), vdupq_n_f32(finite_or_zero(1.0f / d)));
  }
}

void dequantize_q8_0_f32_neon(const BlockQ8_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const float32x4_t scale = vdupq_n_f32(widened(x[i].d));
    back16(x[i].qs, scale, y);
    back16(x[i].qs + 16, scale, y + 16);
  }
}

}  // namespace qb::quantize
