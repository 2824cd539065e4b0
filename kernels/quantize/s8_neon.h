// SPDX-License-Identifier: Apache-2.0
// What the NEON kernels of 8-bit codes share (s8_neon.cc, q8_0_neon.cc): sixteen codes at a time,
// there and back.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/neon.h"

namespace qb::quantize {
namespace {

// ---- rounding to integers, which are left in the low bytes

struct HalfToEven {
  static int32x4_t round(float32x4_t v) { return nearest(v); }
  static int round(float v) { return vcvtns_s32_f32(v); }
};

/// The notebook's: to f16 first. Adding 2^13 times the power of two below |v| leaves v its 11
/// significant bits, ties to even; below f16's normal numbers that is more than f16 keeps, and the
/// code 0 either way. That product is exact, so the FMAs round only the sum.
struct ThroughF16 {
  static int32x4_t round(float32x4_t v) {
    const float32x4_t power =
        vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vdupq_n_u32(0xff800000u)));
    const float32x4_t shift = vdupq_n_f32(0x1p13f);
    return nearest(vfmsq_f32(vfmaq_f32(v, power, shift), power, shift));
  }
  static int round(float v) { return vcvtns_s32_f32(widened(narrowed(v))); }
};

/// q8_0's.
struct HalfAway {
  static int32x4_t round(float32x4_t v) { return vcvtaq_s32_f32(v); }
};

// ---- codes

template <class Rounding, class T>
inline void codes16(const T* x, float32x4_t inv, std::int8_t* q) {
  const auto word = [=](std::size_t j) { return Rounding::round(vmulq_f32(load4(x + j), inv)); };
  vst1q_s8(q, low_bytes(word(0), word(4), word(8), word(12)));
}

// ---- back

template <class Y>
inline void back16(const std::int8_t* q, float32x4_t scale, Y* y) {
  const Floats16 codes(vld1q_s8(q));
  for (unsigned i = 0; i < 4; ++i) store4(y + 4 * i, vmulq_f32(codes.v[i], scale));
}

}  // namespace
}  // namespace qb::quantize
