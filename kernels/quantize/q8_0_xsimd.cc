// SPDX-License-Identifier: Apache-2.0
// q8_0, portable.
#include "quantize/kernels.h"
#include "quantize/s8_xsimd.h"

namespace qb::quantize {
namespace {

inline void block(const float* x, BlockQ8_0* y, float d, float id) {
  y->d = f32_to_f16(d);
  for (std::size_t j = 0; j < kBlock; j += kStep) codes_of_step<HalfAway>(x + j, F(id), y->qs + j);
}

}  // namespace

void QB_SYMBOL(quantize_f32_q8_0)(const float* x, std::size_t blocks, BlockQ8_0* y) {
  for (; blocks >= kLanes; blocks -= kLanes) {
    const F d = quotient(absmax_of_lanes(x, kBlock), F(127.0f));
    alignas(64) float scale[kLanes], factor[kLanes];
    d.store_aligned(scale);
    finite_or_zero(quotient(F(1.0f), d)).store_aligned(factor);
    for (std::size_t i = 0; i < kLanes; ++i, x += kBlock) block(x, y++, scale[i], factor[i]);
  }
  for (; blocks; --blocks, x += kBlock) {
    const float d = absmax(x, kBlock) / 127.0f, id = 1.0f / d;
    block(x, y++, d, id <= kMost ? id : 0.0f);
  }
}

void QB_SYMBOL(dequantize_q8_0_f32)(const BlockQ8_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock)
    back(x[i].qs, kBlock, f16_to_f32(x[i].d), y);
}

}  // namespace qb::quantize
