// SPDX-License-Identifier: Apache-2.0
// As many groups at a time as a batch has lanes, portable (quantize/lanes.h).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/lanes.h"
#include "quantize/s4_xsimd.h"

namespace qb::quantize {
namespace {

struct Lanes {
  using F = Float;
  using I = Int;
  using M = xsimd::batch_bool<float, Arch>;
  static constexpr std::size_t kMostLanes = kLanes;
  static constexpr std::size_t lanes() { return kLanes; }
  static F set(float v) { return F(v); }
  static F load(const float* p) { return F::load_aligned(p); }
  static F absolute(const F& v) { return xsimd::abs(v); }
  static F add(const F& a, const F& b) { return a + b; }
  static F multiply(const F& a, const F& b) { return a * b; }
  static F divide(const F& a, const F& b) { return quotient(a, b); }
  static F subtract(const F& a, const F& b) { return a - b; }
  static F square_root(const F& v) {
#if defined(QB_XSIMD_neon)  // never by an estimate
    return F(vsqrtq_f32(v));
#else
    return xsimd::sqrt(v);
#endif
  }
  static F larger(const F& a, const F& b) { return xsimd::select(a > b, a, b); }
  static F smaller(const F& a, const F& b) { return xsimd::select(a < b, a, b); }
  static M both(const M& a, const M& b) { return a && b; }
  static bool any(const M& m) { return xsimd::any(m); }
  static M less(const F& a, const F& b) { return a < b; }
  static M less_equal(const F& a, const F& b) { return a <= b; }
  static F select(const M& m, const F& a, const F& b) { return xsimd::select(m, a, b); }
  static I words(std::uint32_t v) { return I(std::int32_t(v)); }
  static I load(const std::uint32_t* p) {
    return I::load_aligned(reinterpret_cast<const std::int32_t*>(p));
  }
  static void store(std::uint32_t* p, const I& v) {
    v.store_aligned(reinterpret_cast<std::int32_t*>(p));
  }
  static void store(float* p, const F& v) { v.store_aligned(p); }
  static I any_of(const I& a, const I& b) { return a | b; }
  static I bits(const F& v) { return as<I>(v); }
  static F floats(const I& v) { return as<F>(v); }
  template <int n>
  static I shift_left(const I& v) {
    return v << n;
  }
  template <int n>
  static I shift_right(const I& v) {  // of what is not negative
    return v >> n;
  }
  static I minus(const I& a, const I& b) { return a - b; }
  static I largest(const I& a, const I& b) { return xsimd::max(a, b); }
  static I plus_where(const I& n, const M& m, std::uint32_t k) { return n + (as<I>(m) & words(k)); }
  static I only_where_not(const M& m, const I& n) { return n & ~as<I>(m); }
  static float widened(f16 h) { return f16_to_f32(h); }
  static f16 narrowed(float v) { return f32_to_f16(v); }
  static void transpose(const float* x, std::size_t len, float* columns, std::size_t stride) {
    for (std::size_t i = 0; i < kLanes; ++i)
      for (std::size_t j = 0; j < len; ++j) columns[j * stride + i] = x[i * len + j];
  }
  static F from_bytes(const std::int8_t* p, std::size_t) {
    const I bytes = load8(reinterpret_cast<const std::uint8_t*>(p));
    return xsimd::to_float((bytes ^ I(128)) - I(128));  // of signed values: the bit above tells
  }
  static F multiply_add(const F& a, const F& b, const F& c) { return a * b + c; }

  using Bytes = Byte;
  static constexpr std::size_t kBytes = Byte::size;
  static Bytes load_bytes(const std::uint8_t* p) { return Byte::load_unaligned(p); }
  static void store_bytes(std::int8_t* p, const Bytes& v) {
    v.store_unaligned(reinterpret_cast<std::uint8_t*>(p));
  }
  static Bytes masked(const Bytes& v, std::uint8_t m) { return v & Byte(m); }
  static Bytes joined(const Bytes& a, const Bytes& b) { return a | b; }
  static Bytes lowered(const Bytes& v, std::uint8_t by) { return v - Byte(by); }
  template <int n>
  static Bytes left(const Bytes& v) {
    return as<Byte>(as<Word>(v) << n);
  }
  template <int n>
  static Bytes right(const Bytes& v) {
    return as<Byte>(as<Word>(v) >> n);
  }
  static Bytes bytes_of_table(const std::int8_t* table, const Bytes& index) {
    return Table(reinterpret_cast<const std::uint8_t*>(table)).at(index);
  }
  static void store_eights(std::int8_t* p, std::size_t j, const Bytes& low, const Bytes& high) {
    alignas(64) std::uint8_t lows[kBytes], highs[kBytes];
    low.store_aligned(lows);
    high.store_aligned(highs);
    for (std::size_t i = 0; i < kBytes; i += 8) {
      __builtin_memcpy(p + 2 * (j + i), lows + i, 8);
      __builtin_memcpy(p + 2 * (j + i) + 8, highs + i, 8);
    }
  }
  static Bytes where_clear(const std::uint8_t* bits, std::size_t at, std::uint8_t v) {
    std::uint8_t some[16] = {};
    alignas(64) std::uint8_t place[32], bit[32];
    __builtin_memcpy(some, bits + at / 8, kBytes / 8);
    for (std::size_t i = 0; i < kBytes; ++i) {
      place[i] = std::uint8_t(i / 8);
      bit[i] = std::uint8_t(1u << i % 8);
    }
    const Byte spread = Table(some).at(Byte::load_aligned(place)) & Byte::load_aligned(bit);
    return xsimd::select(spread == Byte(std::uint8_t(0)), Byte(v), Byte(std::uint8_t(0)));
  }
  static Bytes nibbles32(const std::uint8_t* qs) {
    alignas(64) std::uint8_t nibbles[32];
    for (std::size_t j = 0; j < 16; ++j) {
      nibbles[j] = qs[j] & 15u;
      nibbles[j + 16] = qs[j] >> 4;
    }
    return Byte::load_aligned(nibbles);
  }

  /// The code whose value is nearest to v, a midpoint going up, and that value.
  static void nearest(const F& v, const TableOf16& table, I& code, F& value) {
    code = words(0);
    value = F(table.values[0]);
    for (int i = 0; i < 15; ++i) {
      const M above = F(table.middles[i]) <= v;
      code = plus_where(code, above, 1);
      value = value + xsimd::select(above, F(table.values[i + 1] - table.values[i]), F(0.0f));
    }
  }
  static I byte_words(const std::uint8_t* p, std::size_t) { return load8(p); }
  static I low_nibbles(const I& v) { return v & I(15); }
  static F to_floats(const I& v) { return xsimd::to_float(v); }
  template <bool kStream>
  static void put(float* p, const F& v, std::size_t) {
    v.store_unaligned(p);
  }
  static bool streams(const float*, std::size_t, std::size_t) { return false; }
  static void fence() {}
};

}  // namespace
}  // namespace qb::quantize
