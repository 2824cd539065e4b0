// SPDX-License-Identifier: Apache-2.0
// What conversions to 8-bit floats need to know of them. Included by instruction sets' translation
// units, so nothing here may emit code (docs/decisions/0002-odr.md).
#pragma once

#include "quantbench/types.h"

namespace qb {

// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
namespace {

/// How floats are rounded to T: nearest, ties to even. Of a magnitude below kCap, `t` is its power
/// of two, but at least kLeast, the smallest normal one of T. A float of 2^kShift times t has its
/// last bit where T's last bit is:
///
///   code = bits(magnitude + t * 2^kUp) + (t's bits >> kShift) + kOffset      modulo 256
///
/// The first term counts units of the last place, 2^m to 2^(m+1) of them (m bits of mantissa) or
/// fewer below kLeast; the second has the exponent above the mantissa, offset by a constant. What
/// rounds beyond the largest exponent carries into it by itself, as subnormals do into the normal
/// numbers. No step meets a subnormal float that matters, so FTZ and DAZ change nothing.
template <class T>
struct Fp8;
template <>
struct Fp8<e4m3> {
  static constexpr int kShift = 20, kUp = 20;
  static constexpr std::uint32_t kCap = 0x43e00000u;    ///< 448: saturates
  static constexpr std::uint32_t kLeast = 0x3c800000u;  ///< 2^-6
  static constexpr std::uint32_t kOffset = 56;
};
template <>
struct Fp8<e5m2> {
  static constexpr int kShift = 21, kUp = 21;
  static constexpr std::uint32_t kCap = 0x47800000u;    ///< 2^16: its code is infinity's
  static constexpr std::uint32_t kLeast = 0x38800000u;  ///< 2^-14
  static constexpr std::uint32_t kOffset = 60;
};

constexpr std::uint32_t kExponentBits = 0x7f800000u;

}  // namespace
}  // namespace qb
