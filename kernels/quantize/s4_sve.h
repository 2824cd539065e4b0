// SPDX-License-Identifier: Apache-2.0
// What the SVE kernels of 4-bit codes share (s4_sve.cc, q4_0_sve.cc).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/sve.h"

namespace qb::quantize {
namespace {

/// n - 8 times the scale, for the nibbles n that 0x4b000000 is added to.
inline svfloat32_t scaled(svuint32_t sum, svfloat32_t scale) {
  const svbool_t all = svptrue_b32();
  const svfloat32_t v = svsub_n_f32_x(all, svreinterpret_f32_u32(sum), 0x1p23f + 8);
  return svmul_f32_x(all, v, scale);
}

}  // namespace
}  // namespace qb::quantize
