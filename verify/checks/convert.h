// SPDX-License-Identifier: Apache-2.0
// Checks of conversions between float types, to the bit (contract, section 1).
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <random>
#include <vector>

#include "checks/same.h"
#include "oracle/fp8.h"
#include "support/flush.h"
#include "support/guarded.h"
#include "support/rounding.h"

namespace qb::test {

template <class In, class Out>
using Converter = void(const In*, std::size_t n, Out*);

// A conversion is identified by its types: the expected pattern, and the pattern a kernel wrote.
inline std::uint32_t expected(f16 x, float) { return oracle::widened(x); }
inline std::uint32_t expected(bf16 x, float) { return oracle::widened(x); }
inline std::uint32_t expected(float x, f16) { return std::uint16_t(oracle::narrowed_f16(x)); }
inline std::uint32_t expected(float x, bf16) { return std::uint16_t(oracle::narrowed_bf16(x)); }
inline std::uint32_t expected(e4m3 x, float) { return oracle::widened(x); }
inline std::uint32_t expected(e5m2 x, float) { return oracle::widened(x); }
inline std::uint32_t expected(float x, e4m3) { return std::uint8_t(oracle::narrowed_e4m3(x)); }
inline std::uint32_t expected(float x, e5m2) { return std::uint8_t(oracle::narrowed_e5m2(x)); }
inline std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
inline std::uint32_t bits(f16 x) { return std::uint16_t(x); }
inline std::uint32_t bits(bf16 x) { return std::uint16_t(x); }
inline std::uint32_t bits(e4m3 x) { return std::uint8_t(x); }
inline std::uint32_t bits(e5m2 x) { return std::uint8_t(x); }

/// Compares what a kernel made of x[0, n) with the oracle, element by element up to the first
/// difference.
template <class In, class Out>
void expect_converted(const In* x, std::size_t n, const Out* y, const char* when = "") {
  for (std::size_t i = 0; i < n; ++i)
    if (expected(x[i], Out{}) != bits(y[i]))
      fail("y[", i, "] of n = ", n, when, ", from pattern ", std::hex, "0x", bits(x[i]), ", is 0x",
           bits(y[i]), ", expected 0x", expected(x[i], Out{}));
}

/// Runs the body twice: as the program is, and with subnormals flushed to zero.
template <class In, class Out>
void expect_converts(Converter<In, Out>* kernel, const std::vector<In>& x) {
  std::vector<Out> y(x.size());
  kernel(x.data(), x.size(), y.data());
  expect_converted(x.data(), x.size(), y.data());
  std::ranges::fill(y, Out{});
  {
    const FlushSubnormals on;
    kernel(x.data(), x.size(), y.data());
  }
  expect_converted(x.data(), x.size(), y.data(), " with subnormals flushed");
}

/// n patterns of the type over its whole range: NaN, infinities and subnormals among them.
template <class T>
std::vector<T> patterns(std::size_t n, std::uint32_t seed) {
  std::mt19937 words(seed);
  std::vector<T> x(n);
  for (T& v : x) {
    // Floats get an exponent of a half as often as any, or most of them would overflow.
    std::uint32_t word = words();
    if (sizeof(T) == 4 && words() % 2) word = (word & 0x8fffffffu) + 0x30000000u;
    std::memcpy(&v, &word, sizeof v);
  }
  return x;
}

template <class In, class Out>
void check_convert_every_length(Converter<In, Out>* kernel, Effort effort = Effort::thorough) {
  for (const std::size_t n : lengths(effort == Effort::brief ? 512 : 4096))
    for (const Against x_side : {Against::end, Against::begin})
      for (const Against y_side : {Against::end, Against::begin}) {
        if (effort == Effort::brief && x_side != y_side) continue;
        const Guarded<In> x(patterns<In>(n, unsigned(n)), x_side);
        Guarded<Out> y(n, y_side);
        kernel(x.data(), n, y.data());
        expect_converted(x.data(), n, y.data());
      }
}

/// Runs on x[x_at, x_at + n) into y[y_at, ...) and looks for stores around the output.
template <class In, class Out>
void check_convert_misaligned(Converter<In, Out>* kernel, std::size_t n, std::size_t x_at,
                              std::size_t y_at, const std::vector<In>& x, std::vector<Out>& y) {
  constexpr std::size_t kAround = 64;
  Out untouched;
  std::memset(&untouched, 0x5a, sizeof untouched);
  y.assign(y_at + n + 2 * kAround, untouched);
  Out* const out = y.data() + kAround + y_at;
  kernel(x.data() + x_at, n, out);
  expect_converted(x.data() + x_at, n, out);
  const auto is_untouched = [&](Out v) { return bits(v) == bits(untouched); };
  if (!std::all_of(y.data(), out, is_untouched) ||
      !std::all_of(out + n, y.data() + y.size(), is_untouched))
    fail("written outside y, n = ", n, ", x from element ", x_at, ", y from element ", y_at);
}

template <class In, class Out>
void check_convert_every_start(Converter<In, Out>* kernel, Effort effort = Effort::thorough) {
  const std::size_t starts = effort == Effort::brief ? 9 : 33;
  const std::vector<In> x = patterns<In>(400, 11);
  std::vector<Out> y;
  for (const std::size_t n : {5u, 31u, 64u, 161u, 333u})
    for (std::size_t x_at = 0; x_at < starts; ++x_at)
      for (std::size_t y_at = 0; y_at < starts; ++y_at)
        check_convert_misaligned(kernel, n, x_at, y_at, x, y);
}

/// Every pattern of a format of 16 or 8 bits.
template <class Half>
std::vector<Half> all_patterns() {
  std::vector<Half> x(std::size_t{1} << 8 * sizeof(Half));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = Half(static_cast<std::uint16_t>(i));
  return x;
}

/// One NaN among numbers at every place: a kernel may treat a vector that holds one differently.
template <class Out>
void check_convert_one_nan_anywhere(Converter<float, Out>* kernel) {
  for (std::size_t at = 0; at < 150; ++at) {
    std::vector<float> x = weights(150, 3);
    x[at] = std::bit_cast<float>(0xff800001u);
    expect_converts(kernel, x);
  }
}

}  // namespace qb::test
