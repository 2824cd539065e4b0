// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, portable. xsimd 8 has no lookup by lane: a value
// is the sum of the steps of the table up to it, which is exact.
#include "quantize/kernels.h"
#include "quantize/s4_xsimd.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

struct Vectors {
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
  static void nearest(const F& v, const TableOf16& table, I& code, F& value) {
    code = words(0);
    value = F(table.values[0]);
    for (int i = 0; i < 15; ++i) {
      const M above = F(table.middles[i]) <= v;
      code = plus_where(code, above, 1);
      value = value + xsimd::select(above, F(table.values[i + 1] - table.values[i]), F(0.0f));
    }
  }
  static void transpose(const float* x, float* columns) {
    for (std::size_t i = 0; i < kLanes; ++i)
      for (std::size_t j = 0; j < kBlock; ++j) columns[j * kLanes + i] = x[i * kBlock + j];
  }
  static float widened(f16 h) { return f16_to_f32(h); }
  static f16 narrowed(float v) { return f32_to_f16(v); }
  template <bool kStream>
  static void decode(const std::uint8_t* qs, const TableOf16& table, float scale, float* y) {
    const Table lookup(bytes_of(table));
    alignas(64) std::uint8_t nibbles[kBlock], values[kBlock];
    for (std::size_t j = 0; j < kBlock / 2; ++j) {
      nibbles[j] = qs[j] & 15u;
      nibbles[j + kBlock / 2] = qs[j] >> 4;
    }
    for (std::size_t j = 0; j < kBlock; j += Byte::size)
      lookup.at(Byte::load_aligned(nibbles + j)).store_aligned(values + j);
    const F factor(scale);
    for (std::size_t j = 0; j < kBlock; j += kLanes) {
      const I bytes = load8(values + j);  // of signed values: the bit above tells
      const I signed_values = (bytes ^ I(128)) - I(128);
      (xsimd::to_float(signed_values) * factor).store_unaligned(y + j);
    }
  }
  static bool streams(const float*, std::size_t, std::size_t) { return false; }
  static void fence() {}

 private:
  static const std::uint8_t* bytes_of(const TableOf16& table) {
    return reinterpret_cast<const std::uint8_t*>(table.bytes);
  }
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
