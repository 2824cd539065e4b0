// SPDX-License-Identifier: Apache-2.0
// What the NEON kernels of 4-bit codes share (s4_neon.cc, q4_0_neon.cc).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/neon.h"

namespace qb::quantize {
namespace {

inline int8x16_t even_codes(uint8x16_t bytes) {
  return vshrq_n_s8(vreinterpretq_s8_u8(vshlq_n_u8(bytes, 4)), 4);
}
inline int8x16_t odd_codes(uint8x16_t bytes) { return vshrq_n_s8(vreinterpretq_s8_u8(bytes), 4); }

/// Sixteen codes times the scale.
inline void scaled(int8x16_t codes, float scale, float* y) {
  const Floats16 values(codes);
  for (unsigned i = 0; i < 4; ++i) vst1q_f32(y + 4 * i, vmulq_n_f32(values.v[i], scale));
}

}  // namespace
}  // namespace qb::quantize
