// SPDX-License-Identifier: Apache-2.0
// Oracle of the 8-bit floats, from the contract (section 1): the value of each pattern, and the
// pattern whose value is nearest.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "oracle/half.h"
#include "quantbench/types.h"

namespace qb::oracle {

/// Value of a pattern, exact. NaN for NaN.
inline double value(e4m3 x) {
  const int bits = static_cast<std::uint8_t>(x), exponent = bits / 8 % 16, mantissa = bits % 8;
  const double sign = bits < 128 ? 1 : -1;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<double>::quiet_NaN();
  return exponent ? sign * scaled(8 + mantissa, exponent - 10) : sign * scaled(mantissa, -9);
}
inline double value(e5m2 x) {
  const int bits = static_cast<std::uint8_t>(x), exponent = bits / 4 % 32, mantissa = bits % 4;
  const double sign = bits < 128 ? 1 : -1;
  if (exponent == 31)
    return mantissa ? std::numeric_limits<double>::quiet_NaN()
                    : sign * std::numeric_limits<double>::infinity();
  return exponent ? sign * scaled(4 + mantissa, exponent - 17) : sign * scaled(mantissa, -16);
}

/// The pattern of f32(x).
inline std::uint32_t widened(e4m3 x) {
  if (!std::isnan(value(x))) return pattern(float(value(x)));
  return static_cast<std::uint8_t>(x) < 128 ? 0x7fc00000u : 0xffc00000u;
}
inline std::uint32_t widened(e5m2 x) {
  if (!std::isnan(value(x))) return pattern(float(value(x)));
  const std::uint32_t bits = static_cast<std::uint8_t>(x);
  return (bits >> 7) << 31 | 255u << 23 | 1u << 22 | (bits & 3) << 21;
}

/// The pattern of the number nearest to x, which is not NaN: the even one of two; the last of them,
/// the largest, for all that is beyond.
inline e4m3 to_e4m3(float x) {
  static const std::array<double, 127> values = [] {
    std::array<double, 127> all;
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = value(e4m3(i));
    return all;
  }();
  const double magnitude = std::fabs(double(x));
  std::size_t low = 0;  // the last value that is not above, by bisection
  for (std::size_t step = 64; step; step /= 2)
    if (low + step < values.size() && values[low + step] <= magnitude) low += step;
  if (low + 1 < values.size()) {
    const double middle = (values[low] + values[low + 1]) / 2;
    if (magnitude > middle || (magnitude == middle && low % 2 == 1)) ++low;
  }
  return e4m3(std::uint8_t(low + (std::signbit(x) ? 128 : 0)));
}

/// e4m3(x), NaN or not.
inline e4m3 narrowed_e4m3(float x) {
  if (std::isnan(x)) return e4m3(std::uint8_t(std::signbit(x) ? 0xff : 0x7f));
  return to_e4m3(x);
}
/// e5m2(x), NaN or not.
inline e5m2 narrowed_e5m2(float x) {
  if (!std::isnan(x)) return e5m2(std::uint8_t(round_to_format(double(x), 5, 2)));
  const std::uint32_t bits = pattern(x);
  return e5m2(std::uint8_t((bits >> 31) << 7 | 31u << 2 | 1u << 1 | (bits & 0x7fffff) >> 21));
}

}  // namespace qb::oracle
