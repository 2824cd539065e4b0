// SPDX-License-Identifier: Apache-2.0
// What the SVE kernels of 8-bit codes share (s8_sve.cc, q8_0_sve.cc).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/sve.h"

namespace qb::quantize {
namespace {

constexpr std::int32_t kMagicBits = 0x4b400000;
constexpr std::int16_t kHalfMagicBits = 0x6600;

struct HalfToEven {
  static svfloat32_t round(svfloat32_t v) { return v; }
};
/// q8_0's.
struct HalfAway {
  static svfloat32_t round(svfloat32_t v) { return svrinta_f32_x(svptrue_b32(), v); }
};

using qb::code;  // not hidden by this one
template <class Rounding>
inline svint32_t code(svbool_t p, const float* x, svfloat32_t inv) {
  return code(Rounding::round(svmul_f32_x(svptrue_b32(), svld1_f32(p, x), inv)));
}

template <class Rounding>
inline void codes(const float* x, std::size_t len, svfloat32_t inv, std::int8_t* q) {
  const std::size_t lanes = svcntw();
  const svbool_t all = svptrue_b8();
  std::size_t j = 0;
  for (; len - j >= 4 * lanes; j += 4 * lanes) {
    const float* const at = x + j;
    const svint16_t a = both(code<Rounding>(all, at, inv), code<Rounding>(all, at + lanes, inv));
    const svint16_t b =
        both(code<Rounding>(all, at + 2 * lanes, inv), code<Rounding>(all, at + 3 * lanes, inv));
    svst1_s8(all, q + j, both(a, b));
  }
  for (; j < len; j += lanes) {
    const svbool_t p = lanes32(j, len);
    svst1b_s32(p, q + j, code<Rounding>(p, x + j, inv));
  }
}

inline svfloat32_t value32(svbool_t p, const std::int8_t* q) {
  const svbool_t all = svptrue_b32();
  const svint32_t sum = svadd_n_s32_x(all, svld1sb_s32(p, q), kMagicBits);
  return svsub_n_f32_x(all, svreinterpret_f32_s32(sum), kMagic);
}

/// Stores a vector of q times the factor, rounded to the type of y.
inline void step(svbool_t p, const std::int8_t* q, svfloat32_t factor, float* y) {
  svst1_f32(p, y, svmul_f32_x(svptrue_b32(), value32(p, q), factor));
}
inline void step(svbool_t p, const std::int8_t* q, svfloat32_t factor, f16* y) {
  const svfloat32_t v = svmul_f32_x(svptrue_b32(), value32(p, q), factor);
  svst1h_u32(p, words(y), svreinterpret_u32_f16(svcvt_f16_f32_x(svptrue_b32(), v)));
}

}  // namespace
}  // namespace qb::quantize
