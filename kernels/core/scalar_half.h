// SPDX-License-Identifier: Apache-2.0
// Float conversions in plain integer arithmetic, for scalar and portable kernels and their tails.
// Exact whatever FTZ and DAZ say; written without branches that stop auto-vectorisation.
//
// In an anonymous namespace on purpose: each translation unit owns its copy, so that no copy
// compiled for one instruction set can be linked into another's code (docs/decisions/0002-odr.md).
#pragma once

#include "quantbench/types.h"

namespace qb {
namespace {

[[maybe_unused]] inline std::uint32_t bits_of(float x) {
  return __builtin_bit_cast(std::uint32_t, x);
}
[[maybe_unused]] inline float float_of(std::uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}

/// Exact; a signalling NaN comes out quiet with its payload (as VCVTPH2PS and FCVT do).
[[maybe_unused]] inline float f16_to_f32(f16 half) {
  const std::int32_t h = static_cast<std::uint16_t>(half);
  const std::int32_t m = h & 0x7fff;
  // The exponent grows by 127 - 15, that of infinity and NaN by as much again. A subnormal's
  // mantissa goes under an implicit one worth 2^-14, which is taken away again: always subtracted,
  // for a subtraction that only some lanes need is one that gcc won't vectorise.
  const std::int32_t special = m >= 0x7c00 ? 0x38000000 : 0;
  const std::int32_t quiet = m > 0x7c00 ? 0x400000 : 0;
  const std::int32_t one = m < 0x400 ? 0x800000 : 0;
  const float excess = m < 0x400 ? 0x1p-14f : 0.0f;
  const std::int32_t rebiased = ((m << 13) + 0x38000000 + special + one) | quiet;
  const float magnitude = float_of(std::uint32_t(rebiased)) - excess;
  return float_of(bits_of(magnitude) | (std::uint32_t(h) & 0x8000u) << 16);
}

/// Nearest, ties to even; 65520 and up overflow; NaN stays NaN, quiet, top payload bits kept.
[[maybe_unused]] inline f16 f32_to_f16(float x) {
  const std::uint32_t b = bits_of(x);
  const std::uint32_t a = b & 0x7fffffffu;
  // Normal: rebias and round in the integer domain. The carry runs into the exponent by itself.
  const std::uint32_t normal = (a - 0x38000000u + 0xfffu + (a >> 13 & 1u)) >> 13;
  // Subnormal: adding one half aligns the mantissa at 2^-24, and the addition rounds.
  const std::uint32_t subnormal = bits_of(float_of(a) + 0.5f) - 0x3f000000u;
  const std::uint32_t nan = 0x7e00u | (a >> 13 & 0x3ffu);
  const std::uint32_t magnitude = a > 0x7f800000u    ? nan
                                  : a >= 0x477ff000u ? 0x7c00u
                                  : a < 0x38800000u  ? subnormal
                                                     : normal;
  return f16(static_cast<std::uint16_t>(magnitude | (b >> 16 & 0x8000u)));
}

/// Exact, but for a signalling NaN, which comes out quiet.
[[maybe_unused]] inline float bf16_to_f32(bf16 half) {
  const std::uint32_t b = std::uint32_t{static_cast<std::uint16_t>(half)} << 16;
  return float_of(b | ((b & 0x7fffffffu) > 0x7f800000u ? 0x400000u : 0u));
}

/// Nearest, ties to even; NaN stays NaN, quiet, top payload bits kept.
[[maybe_unused]] inline bf16 f32_to_bf16(float x) {
  const std::uint32_t b = bits_of(x);
  const std::uint32_t rounded = (b + 0x7fffu + (b >> 16 & 1u)) >> 16;
  const std::uint32_t nan = b >> 16 | 0x40u;
  return bf16(static_cast<std::uint16_t>((b & 0x7fffffffu) > 0x7f800000u ? nan : rounded));
}

}  // namespace
}  // namespace qb
