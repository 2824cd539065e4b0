// SPDX-License-Identifier: Apache-2.0
// Conversions of 8-bit floats in plain arithmetic, for scalar and portable kernels and their tails
// (core/fp8.h says how rounding works). Exact whatever FTZ and DAZ say; without branches that stop
// auto-vectorisation.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/fp8.h"
#include "core/scalar_half.h"

namespace qb {
namespace {

/// The code of the magnitude; anything for NaN.
template <class T>
[[maybe_unused]] inline std::uint32_t fp8_magnitude(std::uint32_t magnitude) {
  const std::uint32_t a = magnitude < Fp8<T>::kCap ? magnitude : Fp8<T>::kCap;
  const std::uint32_t t = (a > Fp8<T>::kLeast ? a : Fp8<T>::kLeast) & kExponentBits;
  const float sum = float_of(a) + float_of(t + (std::uint32_t{Fp8<T>::kUp} << 23));
  return (bits_of(sum) + (t >> Fp8<T>::kShift) + Fp8<T>::kOffset) & 0x7fu;
}

/// Nearest, ties to even; saturates at 448; NaN keeps its sign.
[[maybe_unused]] inline e4m3 f32_to_e4m3(float x) {
  const std::uint32_t b = bits_of(x), a = b & 0x7fffffffu;
  const std::uint32_t code = a > kExponentBits ? 0x7fu : fp8_magnitude<e4m3>(a);
  return e4m3(static_cast<std::uint8_t>(code | (b >> 24 & 0x80u)));
}

/// Nearest, ties to even; overflows to infinity; NaN stays NaN, quiet, its top payload bit kept.
[[maybe_unused]] inline e5m2 f32_to_e5m2(float x) {
  const std::uint32_t b = bits_of(x), a = b & 0x7fffffffu;
  const std::uint32_t nan = 0x7eu | (a >> 21 & 1u);
  const std::uint32_t code = a > kExponentBits ? nan : fp8_magnitude<e5m2>(a);
  return e5m2(static_cast<std::uint8_t>(code | (b >> 24 & 0x80u)));
}

/// Exact: an E4M3 number is a binary16 of 256 times its value. NaN keeps its sign.
[[maybe_unused]] inline float e4m3_to_f32(e4m3 x) {
  const std::uint32_t b = static_cast<std::uint8_t>(x), m = b & 0x7fu;
  const std::uint32_t half = (b & 0x80u) << 8 | m << 7;
  const std::uint32_t number = bits_of(f16_to_f32(f16(static_cast<std::uint16_t>(half))) * 256.0f);
  return float_of(m == 0x7f ? (b & 0x80u) << 24 | 0x7fc00000u : number);
}

/// Exact; NaN stays NaN, quiet, its payload kept.
[[maybe_unused]] inline float e5m2_to_f32(e5m2 x) {
  const unsigned b = static_cast<std::uint8_t>(x);
  return f16_to_f32(f16(static_cast<std::uint16_t>(b << 8)));
}

}  // namespace
}  // namespace qb
