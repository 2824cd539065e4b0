// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, in plain C++: `scalar` (vectorisation off),
// `autovec` and `autovec_avx2` (on).
#include "core/scalar_half.h"
#include "quantize/kernels.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

/// One block at a time.
struct Vectors {
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
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    code = 0;
    for (int i = 0; i < 15; ++i) code += table.middles[i] <= v;
    value = table.values[code];
  }
  static void transpose(const float* x, float* columns) {
    __builtin_memcpy(columns, x, kBlock * sizeof *x);
  }
  static float widened(f16 h) { return f16_to_f32(h); }
  static f16 narrowed(float v) { return f32_to_f16(v); }
  template <bool kStream>
  static void decode(const std::uint8_t* qs, const TableOf16& table, float scale, float* y) {
    for (std::size_t j = 0; j < kBlock / 2; ++j) {
      y[j] = table.values[qs[j] & 15u] * scale;
      y[j + kBlock / 2] = table.values[qs[j] >> 4] * scale;
    }
  }
  static bool streams(const float*, std::size_t, std::size_t) { return false; }
  static void fence() {}
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
