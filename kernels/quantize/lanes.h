// SPDX-License-Identifier: Apache-2.0
// Encoders and decoders of block formats are written once for every instruction set, over its
// vectors `V`: this page says what V provides, and has what is the same for all of them.
//
// Encoding takes one group a lane, so that a sum over a group's elements runs in order in every
// variant and has the same bits in all of them:
//
//   x: group 0: x0 ... x31, group 1: ...  --transpose-->  columns: x0 of all groups, x1 of all, ...
//   codes: as the columns, a word each    --packed--> the bytes of the blocks
//
// V, of lanes_<instruction set>.h:
//
//   F, I, M              vectors of floats and of 32-bit words, and comparisons' results
//   lanes(), kMostLanes  groups at a time, and the most there may be
//   set(float), load(const float*), absolute(F), square_root(F)
//   add, subtract, multiply, divide(F, F)
//   larger, smaller(F a, F b)        b where a is NaN
//   less, less_equal(F, F) -> M, both(M, M) -> M, select(M, F, F), any(M) -> bool
//   store(float*, F)
//   words(uint32), load(const uint32*), store(uint32*, I), any_of(I, I), bits(F), floats(I)
//   shift_left<n>, shift_right<n>(I), minus(I, I), largest(I, I)    signed
//   plus_where(I n, M m, uint32 k)   n + k where m
//   only_where_not(M m, I n)         n, but 0 where m
//   transpose(const float* x, size_t len, float* columns, size_t stride)
//                                    lanes() rows of len (a multiple of 16) elements, to len
//                                    columns `stride` apart
//   widened(f16), narrowed(float)
//   from_bytes(const int8_t*, size_t n)    the first min(n, lanes()) as floats
//   byte_words(const uint8_t*, size_t n)   the same as words
//   low_nibbles(I) -> I, to_floats(I) -> F; or, where a vector holds sixteen floats,
//   of_nibbles(F scale, F offset) -> F, look_up(F, I) -> F   by the low nibble of each word;
//   of_nibbles_less(uint32 zero, const float& scale) -> F   for look_up: (code - zero) * scale
//   widen_16(const f16*, size_t n, float*)   the first n, at most 16 (optional)
//   widen(const f16*, size_t n, float*)      n, a multiple of 16, both at a vector (optional)
//   stays_in_memory(float* eight)    the compiler must not keep them in a register (optional)
//   nibble_words(const uint8_t* eight) -> I   the low nibbles of eight bytes, then the high ones,
//                                    with other bits above each
//   of_pairs(F scale) -> F, look_up_pair(F, I) -> F   -scale, 0, scale or 2 scale, by the low two
//                                    bits of each word
//   wide_codes, store_wide, store_halves, lowered   of 64 bytes (lanes_avx512.h)
//   scaled8(uint64_t codes, float factor, float* to)    factor times each of eight signed bytes;
//                                    if missing, from_bytes does it
//   nearest(F v, const TableOf16&, I& code, F& value)   the code whose value is nearest to v, a
//                                    midpoint going up, and that value
//   multiply_add(F a, F b, F c)            a*b + c, where a*b is exact: fused or not
//
//   Bytes, kBytes        a vector of unsigned bytes and how many it has: 1, 16 or 32
//   load_bytes(const uint8_t*), store_bytes(int8_t*, Bytes)
//   masked(Bytes, uint8_t), joined(Bytes, Bytes), lowered(Bytes, uint8_t)    and, or, minus
//   left<n>, right<n>(Bytes)         shifts, which may bring in bits of neighbouring bytes
//   where_clear(const uint8_t* bits, size_t at, uint8_t v)    v, but 0 where the bit at + i is set
//   bytes_of_table(const int8_t* sixteen, Bytes index)        indices are below 16
//   store_eights(int8_t* p, size_t j, Bytes low, Bytes high)  low and high are kBytes from j of
//                                    longer arrays: eight bytes of low, eight of high, and so on
//   nibbles32(const uint8_t* qs)     if kBytes is 32: sixteen low nibbles, then the high ones
//   AVX-512 lacks lowered, left, right, bytes_of_table and store_eights: its decoders widen codes
//   or look them up.
//
//   put<kStream>(float*, F, size_t n)      stores the first min(n, lanes())
//   streams(const float* y, read, written), fence()   whether to store past the caches, and a
//                                    fence after such stores
//
// Memory that load and store see is aligned to a vector; that of from_bytes, put and bytes is not.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantbench/blocks.h"
#include "quantbench/types.h"
#include "quantize/table_of_16.h"

namespace qb::quantize {
namespace {

/// Two vectors of V taken as one: two independent chains of additions hide each other's latency.
template <class V>
struct Twice {
  struct F {
    typename V::F a, b;
  };
  struct I {
    typename V::I a, b;
  };
  struct M {
    typename V::M a, b;
  };
  static constexpr std::size_t kMostLanes = 2 * V::kMostLanes;
  static constexpr std::size_t lanes() { return 2 * V::lanes(); }
  static F set(float v) { return {V::set(v), V::set(v)}; }
  static F load(const float* p) { return {V::load(p), V::load(p + V::lanes())}; }
  static F absolute(F v) { return {V::absolute(v.a), V::absolute(v.b)}; }
  static F square_root(F v) { return {V::square_root(v.a), V::square_root(v.b)}; }
  static F add(F x, F y) { return {V::add(x.a, y.a), V::add(x.b, y.b)}; }
  static F subtract(F x, F y) { return {V::subtract(x.a, y.a), V::subtract(x.b, y.b)}; }
  static F multiply(F x, F y) { return {V::multiply(x.a, y.a), V::multiply(x.b, y.b)}; }
  static F divide(F x, F y) { return {V::divide(x.a, y.a), V::divide(x.b, y.b)}; }
  static F larger(F x, F y) { return {V::larger(x.a, y.a), V::larger(x.b, y.b)}; }
  static F smaller(F x, F y) { return {V::smaller(x.a, y.a), V::smaller(x.b, y.b)}; }
  static M less(F x, F y) { return {V::less(x.a, y.a), V::less(x.b, y.b)}; }
  static M less_equal(F x, F y) { return {V::less_equal(x.a, y.a), V::less_equal(x.b, y.b)}; }
  static M both(M x, M y) { return {V::both(x.a, y.a), V::both(x.b, y.b)}; }
  static F select(M m, F x, F y) { return {V::select(m.a, x.a, y.a), V::select(m.b, x.b, y.b)}; }
  static bool any(M m) { return V::any(m.a) || V::any(m.b); }
  static void store(float* p, F v) {
    V::store(p, v.a);
    V::store(p + V::lanes(), v.b);
  }
  static I words(std::uint32_t v) { return {V::words(v), V::words(v)}; }
  static void store(std::uint32_t* p, I v) {
    V::store(p, v.a);
    V::store(p + V::lanes(), v.b);
  }
  static I any_of(I x, I y) { return {V::any_of(x.a, y.a), V::any_of(x.b, y.b)}; }
  static I bits(F v) { return {V::bits(v.a), V::bits(v.b)}; }
  static F floats(I v) { return {V::floats(v.a), V::floats(v.b)}; }
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    V::nearest(v.a, table, code.a, value.a);
    V::nearest(v.b, table, code.b, value.b);
  }
  template <int n>
  static I shift_left(I v) {
    return {V::template shift_left<n>(v.a), V::template shift_left<n>(v.b)};
  }
  static I minus(I x, I y) { return {V::minus(x.a, y.a), V::minus(x.b, y.b)}; }
  static void transpose(const float* x, std::size_t len, float* columns, std::size_t stride) {
    V::transpose(x, len, columns, stride);
    V::transpose(x + V::lanes() * len, len, columns + V::lanes(), stride);
  }
  static float widened(f16 h) { return V::widened(h); }
  static f16 narrowed(float v) { return V::narrowed(v); }
};

/// V, or what V is twice.
template <class V>
struct SingleOf {
  using Vector = V;
};
template <class V>
struct SingleOf<Twice<V>> {
  using Vector = V;
};

/// 1.5 * 2^23: a float of this exponent keeps no fraction, so adding it rounds to the nearest
/// integer, ties to even, and leaves that integer in the low bits.
constexpr float kIntegers = 0x1.8p23f;
constexpr std::uint32_t kIntegerBits = 0x4b400000u;

/// kIntegers + the nearest integer to v, ties to even, that lies in [lowest, highest]; lowest for
/// NaN. What overflows the integers is clamped like any other number.
template <class V>
inline typename V::F clamped(typename V::F v, float lowest, float highest) {
  const typename V::F sum = V::larger(V::add(v, V::set(kIntegers)), V::set(kIntegers + lowest));
  return V::smaller(sum, V::set(kIntegers + highest));
}
/// The nearest integer to v, ties to even, of a magnitude below 2^22.
[[maybe_unused]] inline int nearest_integer(float v) { return int((v + kIntegers) - kIntegers); }

}  // namespace
}  // namespace qb::quantize
