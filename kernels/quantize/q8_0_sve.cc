// SPDX-License-Identifier: Apache-2.0
// q8_0, SVE. As groups of 32 in s8_sve.cc; FRINTA rounds half away from zero first.
#include "quantize/s8_sve.h"

#include "quantize/kernels.h"

namespace qb::quantize {

void quantize_f32_q8_0_sve(const float* x, std::size_t blocks, BlockQ8_0* y) {
  for (; blocks >= 4; blocks -= 4) {
    const svbool_t four = first4();
    const svfloat32_t d = svdiv_n_f32_x(four, absmax_of_4(x, kBlock), 127.0f);
    const svfloat32_t id = finite_or_zero(svdiv_f32_x(four, svdup_n_f32(1.0f), d));
    f16 stored[4];
    store4(stored, d);
    for (std::uint32_t i = 0; i < 4; ++i, x += kBlock, ++y) {
      y->d = stored[i];
      codes<HalfAway>(x, kBlock, svdup_lane_f32(id, i), y->qs);
    }
  }
  for (; blocks; --blocks, x += kBlock, ++y) {
    const float d = absmax_of_1(x, kBlock) / 127.0f, id = 1.0f / d;
    y->d = narrowed(d);
    codes<HalfAway>(x, kBlock, svdup_n_f32(finite_or_zero(id)), y->qs);
  }
}

void dequantize_q8_0_f32_sve(const BlockQ8_0* x, std::size_t blocks, float* y) {
  const svbool_t p = lanes32(0, kBlock);  // a block is a number of vectors, or part of one
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const svfloat32_t d = svdup_n_f32(widened(x[i].d));
    for (std::size_t j = 0; j < kBlock; j += svcntw()) step(p, x[i].qs + j, d, y + j);
  }
}

}  // namespace qb::quantize
