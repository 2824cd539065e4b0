// SPDX-License-Identifier: Apache-2.0
// Oracle of the float formats, from the contract (section 1): plain double arithmetic, no bit
// tricks shared with kernels/.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "quantbench/types.h"

namespace qb::oracle {

/// x * 2^exponent, exact but for overflow; -1022 <= exponent <= 1023, and nothing here is as small
/// as a subnormal double. (std::ldexp, which is for all the rest, takes many times as long.)
inline double scaled(double x, int exponent) {
  return x * std::bit_cast<double>(std::uint64_t(exponent + 1023) << 52);
}

/// Value of a binary16 pattern, exact. NaN for NaN.
inline double value(f16 h) {
  const unsigned bits = static_cast<std::uint16_t>(h);
  const double sign = bits >> 15 ? -1.0 : 1.0;
  const int exponent = int(bits >> 10 & 31), mantissa = int(bits & 1023);
  if (exponent == 31)
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  return exponent ? sign * scaled(1024 + mantissa, exponent - 25) : sign * scaled(mantissa, -24);
}

/// Value of a bfloat16 pattern, exact.
inline double value(bf16 h) {
  const unsigned bits = static_cast<std::uint16_t>(h);
  const double sign = bits >> 15 ? -1.0 : 1.0;
  const int exponent = int(bits >> 7 & 255), mantissa = int(bits & 127);
  if (exponent == 255)
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  return exponent ? sign * scaled(128 + mantissa, exponent - 134) : sign * scaled(mantissa, -133);
}

/// Rounds x (not NaN) to a float of `mantissa_bits` stored bits and `exponent_bits`: nearest, ties
/// to even, gradual underflow, overflow to infinity. Returns the pattern.
inline std::uint32_t round_to_format(double x, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const std::uint32_t sign = std::signbit(x) ? 1u << (exponent_bits + mantissa_bits) : 0u;
  const std::uint32_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
  const double magnitude = std::fabs(x);
  // As a double stores it; less for what is subnormal there, and far below every format here.
  int exponent = int(std::bit_cast<std::uint64_t>(magnitude) >> 52) - 1023;
  if (exponent > bias) return sign | infinity;
  if (exponent < 1 - bias) exponent = 1 - bias;
  // In units of the last place, an exact scaling; then one rounding, for 2^52 has no places behind
  // the point.
  const double units = (scaled(magnitude, mantissa_bits - exponent) + 0x1p52) - 0x1p52;
  // Patterns count units on from zero, through the subnormal numbers and every power of two.
  const auto steps = std::uint32_t(exponent + bias - 1) << mantissa_bits;
  return sign | std::min(steps + std::uint32_t(units), infinity);
}

/// f16(x) of the contract for x that is not NaN; x is a double or exactly a float.
inline f16 to_f16(double x) { return f16(std::uint16_t(round_to_format(x, 5, 10))); }
/// bf16(x) of the contract for x that is not NaN.
inline bf16 to_bf16(double x) { return bf16(std::uint16_t(round_to_format(x, 8, 7))); }

// With NaN, as patterns: sign and payload kept (its top bits when narrowing), the quiet bit set.

inline std::uint32_t pattern(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

/// The pattern of f32(h).
inline std::uint32_t widened(f16 h) {
  const std::uint32_t bits = static_cast<std::uint16_t>(h);
  if (!std::isnan(value(h))) return pattern(float(value(h)));
  return (bits >> 15) << 31 | 255u << 23 | 1u << 22 | (bits & 1023) << 13;
}
/// The pattern of f32(h).
inline std::uint32_t widened(bf16 h) {
  const std::uint32_t bits = static_cast<std::uint16_t>(h);
  if (!std::isnan(value(h))) return pattern(float(value(h)));
  return (bits >> 15) << 31 | 255u << 23 | 1u << 22 | (bits & 127) << 16;
}

/// f16(x), NaN or not.
inline f16 narrowed_f16(float x) {
  if (!std::isnan(x)) return to_f16(double(x));
  const std::uint32_t bits = pattern(x);
  return f16(std::uint16_t((bits >> 31) << 15 | 31u << 10 | 1u << 9 | (bits & 0x7fffff) >> 13));
}
/// bf16(x), NaN or not.
inline bf16 narrowed_bf16(float x) {
  if (!std::isnan(x)) return to_bf16(double(x));
  const std::uint32_t bits = pattern(x);
  return bf16(std::uint16_t((bits >> 31) << 15 | 255u << 7 | 1u << 6 | (bits & 0x7fffff) >> 16));
}

}  // namespace qb::oracle
