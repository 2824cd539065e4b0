// SPDX-License-Identifier: Apache-2.0
// Inputs and expectations of narrowing conversions that do not go value by value: the boundaries of
// a format of 16 or 8 bits, and a walk over all floats in their order.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "oracle/fp8.h"

namespace qb::test {

/// Value of the magnitude pattern `h`; of infinity the power of two that would be there if the
/// exponent range went on, so that the last boundary is a midpoint like all others.
template <class Half>
double magnitude(std::uint32_t h) {
  const double v = oracle::value(Half(static_cast<std::uint16_t>(h)));
  return std::isinf(v) ? 2 * std::exp2(std::ilogb(oracle::value(Half(std::uint16_t(h - 1))))) : v;
}

/// The last pattern that numbers are rounded to: of infinity, or of the largest number.
template <class Half>
inline constexpr std::uint32_t kLastPattern =
    Half::no_last_pattern_is_known;  // of other types: does not compile
template <>
inline constexpr std::uint32_t kLastPattern<f16> = 0x7c00;
template <>
inline constexpr std::uint32_t kLastPattern<bf16> = 0x7f80;
template <>
inline constexpr std::uint32_t kLastPattern<e4m3> = 0x7e;
template <>
inline constexpr std::uint32_t kLastPattern<e5m2> = 0x7c;

/// Every value of the format, every midpoint between neighbours, and the floats on both sides of
/// each; with both signs.
template <class Half>
std::vector<float> rounding_boundaries() {
  std::vector<float> list;
  for (std::uint32_t h = 0; h < kLastPattern<Half>; ++h) {
    const double low = magnitude<Half>(h), high = magnitude<Half>(h + 1);
    for (const double exact : {low, (low + high) / 2}) {
      const auto at = float(exact);
      for (const float v : {std::nextafter(at, -1.0f), at, std::nextafter(at, INFINITY)}) {
        list.push_back(v);
        list.push_back(-v);
      }
    }
  }
  for (const float beyond : {448.0f, 464.0f, 480.0f, 512.0f}) {  // of E4M3, which saturates
    list.push_back(beyond);
    list.push_back(-std::nextafter(beyond, INFINITY));
  }
  list.push_back(std::numeric_limits<float>::max());
  list.push_back(-std::numeric_limits<float>::max());
  list.push_back(INFINITY);
  list.push_back(-INFINITY);
  return list;
}

/// The nearest value to each non-negative float, ties to even, for floats in ascending order from 0
/// to infinity. It walks over the format's values: it goes to the next one when a float is above
/// the midpoint between them, or on it if the next pattern is even.
template <class Half>
class Walk {
 public:
  explicit Walk(std::uint32_t first_bits)
      : h_(static_cast<std::uint16_t>(start(std::bit_cast<float>(first_bits)))) {
    next();
  }
  std::uint16_t operator()(std::uint32_t bits) {
    const double x = std::bit_cast<float>(bits);
    while (x > midpoint_ || (x == midpoint_ && h_ % 2 == 1)) {
      ++h_;
      next();
    }
    return h_;
  }

 private:
  /// A pattern whose value is not above x, by bisection.
  static std::uint32_t start(double x) {
    std::uint32_t low = 0, high = kLastPattern<Half>;
    while (high - low > 1) {
      const std::uint32_t middle = (low + high) / 2;
      (magnitude<Half>(middle) <= x ? low : high) = middle;
    }
    return low;
  }
  void next() {
    midpoint_ = h_ == kLastPattern<Half>
                    ? std::numeric_limits<double>::quiet_NaN()  // never passed nor met
                    : (magnitude<Half>(h_) + magnitude<Half>(h_ + 1u)) / 2;
  }
  std::uint16_t h_;
  double midpoint_;
};

/// NaNs of both signs: signalling and quiet, every single payload bit, and their complements.
inline std::vector<float> nans() {
  std::vector<float> list;
  for (const std::uint32_t sign : {0u, 0x80000000u})
    for (int bit = 0; bit < 23; ++bit)
      for (const std::uint32_t payload : {1u << bit, 1u << bit | 1u, 0x7fffffu ^ 1u << bit})
        list.push_back(std::bit_cast<float>(sign | 0x7f800000u | payload));
  return list;
}

}  // namespace qb::test
