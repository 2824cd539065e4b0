// SPDX-License-Identifier: Apache-2.0
// What the plain loops share: the largest magnitude, and the test for an infinite factor.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/scalar_half.h"

namespace qb::quantize {
namespace {

/// Largest magnitude, found on the bits: an integer maximum has no NaN to treat and vectorises.
[[maybe_unused]] inline float absmax(const float* x, std::size_t len) {
  std::uint32_t largest = 0;
  for (std::size_t j = 0; j < len; ++j) {
    const std::uint32_t magnitude = bits_of(x[j]) & 0x7fffffffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return float_of(largest);
}

[[maybe_unused]] inline float absmax(const f16* x, std::size_t len) {
  std::uint16_t largest = 0;
  for (std::size_t j = 0; j < len; ++j) {
    const std::uint16_t magnitude = static_cast<std::uint16_t>(x[j]) & 0x7fffu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return f16_to_f32(f16(largest));
}

/// x, or 0 where it is not finite.
[[maybe_unused]] inline float finite_or_zero(float x) {
  return x <= 0x1.fffffep127f && x >= -0x1.fffffep127f ? x : 0.0f;
}

/// The same of what is not negative.
[[maybe_unused]] inline float finite_magnitude_or_zero(float x) {
  return x <= 0x1.fffffep127f ? x : 0.0f;
}

}  // namespace
}  // namespace qb::quantize
