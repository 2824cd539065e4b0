// SPDX-License-Identifier: Apache-2.0
// One group at a time, in plain C++ (quantize/lanes.h).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/scalar_half.h"
#include "quantize/lanes.h"

namespace qb::quantize {
namespace {

struct Lanes {
  using F = float;
  using I = std::uint32_t;
  using M = bool;
  static constexpr std::size_t kMostLanes = 1;
  static constexpr std::size_t lanes() { return 1; }
  static F set(float v) { return v; }
  static F load(const float* p) { return *p; }
  static F absolute(F v) { return __builtin_fabsf(v); }
  static F add(F a, F b) { return a + b; }
  static F multiply(F a, F b) { return a * b; }
  static F divide(F a, F b) { return a / b; }
  static F subtract(F a, F b) { return a - b; }
  static F square_root(F v) { return __builtin_sqrtf(v); }
  static F larger(F a, F b) { return a > b ? a : b; }
  static F smaller(F a, F b) { return a < b ? a : b; }
  static M both(M a, M b) { return a && b; }
  static bool any(M m) { return m; }
  static M less(F a, F b) { return a < b; }
  static M less_equal(F a, F b) { return a <= b; }
  static F select(M m, F a, F b) { return m ? a : b; }
  static I words(std::uint32_t v) { return v; }
  static I load(const std::uint32_t* p) { return *p; }
  static void store(std::uint32_t* p, I v) { *p = v; }
  static void store(float* p, F v) { *p = v; }
  static I any_of(I a, I b) { return a | b; }
  static I bits(F v) { return bits_of(v); }
  static F floats(I v) { return float_of(v); }
  template <int n>
  static I shift_left(I v) {
    return v << n;
  }
  template <int n>
  static I shift_right(I v) {
    return v >> n;
  }
  static I minus(I a, I b) { return a - b; }
  static I largest(I a, I b) { return std::int32_t(a) > std::int32_t(b) ? a : b; }
  static I plus_where(I n, M m, std::uint32_t k) { return n + (m ? k : 0); }
  static I only_where_not(M m, I n) { return m ? 0 : n; }
  static float widened(f16 h) { return f16_to_f32(h); }
  static f16 narrowed(float v) { return f32_to_f16(v); }
  static void transpose(const float* x, std::size_t len, float* columns, std::size_t stride) {
    for (std::size_t j = 0; j < len; ++j) columns[j * stride] = x[j];
  }
  static F from_bytes(const std::int8_t* p, std::size_t) { return *p; }
  static F multiply_add(F a, F b, F c) { return a * b + c; }

  using Bytes = std::uint8_t;
  static constexpr std::size_t kBytes = 1;
  static Bytes load_bytes(const std::uint8_t* p) { return *p; }
  static void store_bytes(std::int8_t* p, Bytes v) { *p = static_cast<std::int8_t>(v); }
  static Bytes masked(Bytes v, std::uint8_t m) { return v & m; }
  static Bytes joined(Bytes a, Bytes b) { return a | b; }
  static Bytes lowered(Bytes v, std::uint8_t by) { return static_cast<Bytes>(v - by); }
  template <int n>
  static Bytes left(Bytes v) {
    return static_cast<Bytes>(v << n);
  }
  template <int n>
  static Bytes right(Bytes v) {
    return static_cast<Bytes>(v >> n);
  }
  static Bytes bytes_of_table(const std::int8_t* table, Bytes index) {
    return static_cast<Bytes>(table[index]);
  }
  static void store_eights(std::int8_t* p, std::size_t j, Bytes low, Bytes high) {
    std::int8_t* const to = p + j / 8 * 16 + j % 8;
    store_bytes(to, low);
    store_bytes(to + 8, high);
  }
  static Bytes where_clear(const std::uint8_t* bits, std::size_t at, std::uint8_t v) {
    return bits[at / 8] >> at % 8 & 1 ? std::uint8_t(0) : v;
  }

  /// The code whose value is nearest to v, a midpoint going up, and that value.
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    code = 0;
    for (int i = 0; i < 15; ++i) code += table.middles[i] <= v;
    value = table.values[code];
  }
  static I byte_words(const std::uint8_t* p, std::size_t) { return *p; }
  static I low_nibbles(I v) { return v & 15; }
  static F to_floats(I v) { return F(std::int32_t(v)); }
  template <bool kStream>
  static void put(float* p, F v, std::size_t) {
    *p = v;
  }
  static bool streams(const float*, std::size_t, std::size_t) { return false; }
  static void fence() {}
};

}  // namespace
}  // namespace qb::quantize
