// SPDX-License-Identifier: Apache-2.0
// As many groups at a time as an SVE vector has lanes (quantize/lanes.h).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/sve.h"
#include "quantize/lanes.h"

namespace qb::quantize {
namespace {

/// Looks each lane's low byte up in `values`, as floats. TBL looks the three bytes above it up as
/// well; SXTB drops them.
inline svfloat32_t looked_up(svint8_t values, svuint32_t codes) {
  const svbool_t all = svptrue_b32();
  const svint8_t bytes = svtbl_s8(values, svreinterpret_u8_u32(codes));
  return svcvt_f32_s32_x(all, svextb_s32_x(all, svreinterpret_s32_s8(bytes)));
}
inline svint8_t values_of(const TableOf16& table) {
  return svld1_s8(svptrue_pat_b8(SV_VL16), table.bytes);
}

struct Lanes {
  using F = svfloat32_t;
  using I = svuint32_t;
  using M = svbool_t;
  static constexpr std::size_t kMostLanes = 64;
  static std::size_t lanes() { return svcntw(); }
  static svbool_t all() { return svptrue_b32(); }
  static F set(float v) { return svdup_n_f32(v); }
  static F load(const float* p) { return svld1_f32(all(), p); }
  static F absolute(F v) { return svabs_f32_x(all(), v); }
  static F add(F a, F b) { return svadd_f32_x(all(), a, b); }
  static F multiply(F a, F b) { return svmul_f32_x(all(), a, b); }
  static F divide(F a, F b) { return svdiv_f32_x(all(), a, b); }
  static F subtract(F a, F b) { return svsub_f32_x(all(), a, b); }
  static F square_root(F v) { return svsqrt_f32_x(all(), v); }
  static F larger(F a, F b) { return svmaxnm_f32_x(all(), a, b); }
  static F smaller(F a, F b) { return svminnm_f32_x(all(), a, b); }
  static M both(M a, M b) { return svand_b_z(all(), a, b); }
  static bool any(M m) { return svptest_any(all(), m); }
  static M less(F a, F b) { return svcmplt_f32(all(), a, b); }
  static M less_equal(F a, F b) { return svcmple_f32(all(), a, b); }
  static F select(M m, F a, F b) { return svsel_f32(m, a, b); }
  static I words(std::uint32_t v) { return svdup_n_u32(v); }
  static I load(const std::uint32_t* p) { return svld1_u32(all(), p); }
  static void store(std::uint32_t* p, I v) { svst1_u32(all(), p, v); }
  static void store(float* p, F v) { svst1_f32(all(), p, v); }
  static I any_of(I a, I b) { return svorr_u32_x(all(), a, b); }
  static I bits(F v) { return svreinterpret_u32_f32(v); }
  static F floats(I v) { return svreinterpret_f32_u32(v); }
  template <int n>
  static I shift_left(I v) {
    return svlsl_n_u32_x(all(), v, n);
  }
  template <int n>
  static I shift_right(I v) {
    return svlsr_n_u32_x(all(), v, n);
  }
  static I minus(I a, I b) { return svsub_u32_x(all(), a, b); }
  static I largest(I a, I b) {
    return svreinterpret_u32_s32(
        svmax_s32_x(all(), svreinterpret_s32_u32(a), svreinterpret_s32_u32(b)));
  }
  static I plus_where(I n, M m, std::uint32_t k) { return svadd_n_u32_m(m, n, k); }
  static I only_where_not(M m, I n) { return svsel_u32(m, words(0), n); }
  static float widened(f16 h) { return qb::widened(h); }
  static f16 narrowed(float v) { return qb::narrowed(v); }
  static void transpose(const float* x, std::size_t len, float* columns, std::size_t stride) {
    const svuint32_t rows = svindex_u32(0, std::uint32_t(len));
    for (std::size_t j = 0; j < len; ++j)
      svst1_f32(all(), columns + j * stride, svld1_gather_u32index_f32(all(), x + j, rows));
  }
  static F from_bytes(const std::int8_t* p, std::size_t n) {
    return svcvt_f32_s32_x(all(), svld1sb_s32(lanes32(0, n), p));
  }
  static F multiply_add(F a, F b, F c) { return svmla_f32_x(all(), c, a, b); }

  // Sixteen bytes, whatever the vector's length: what a half of a block of 32 has.
  using Bytes = svuint8_t;
  static constexpr std::size_t kBytes = 16;
  static svbool_t sixteen() { return svptrue_pat_b8(SV_VL16); }
  static Bytes load_bytes(const std::uint8_t* p) { return svld1_u8(sixteen(), p); }
  static void store_bytes(std::int8_t* p, Bytes v) {
    svst1_s8(sixteen(), p, svreinterpret_s8_u8(v));
  }
  static Bytes masked(Bytes v, std::uint8_t m) { return svand_n_u8_x(sixteen(), v, m); }
  static Bytes joined(Bytes a, Bytes b) { return svorr_u8_x(sixteen(), a, b); }
  static Bytes lowered(Bytes v, std::uint8_t by) { return svsub_n_u8_x(sixteen(), v, by); }
  template <int n>
  static Bytes left(Bytes v) {
    return svlsl_n_u8_x(sixteen(), v, n);
  }
  template <int n>
  static Bytes right(Bytes v) {
    return svlsr_n_u8_x(sixteen(), v, n);
  }
  static Bytes bytes_of_table(const std::int8_t* table, Bytes index) {
    return svreinterpret_u8_s8(svtbl_s8(svld1_s8(sixteen(), table), index));
  }
  static void store_eights(std::int8_t* p, std::size_t j, Bytes low, Bytes high) {
    const svuint64_t a = svreinterpret_u64_u8(low), b = svreinterpret_u64_u8(high);
    const svuint64_t next_a = svreinterpret_u64_u8(svext_u8(low, low, 8));
    const svuint64_t next_b = svreinterpret_u64_u8(svext_u8(high, high, 8));
    store_bytes(p + 2 * j, svreinterpret_u8_u64(svzip1_u64(a, b)));
    store_bytes(p + 2 * j + 16, svreinterpret_u8_u64(svzip1_u64(next_a, next_b)));
  }
  static Bytes where_clear(const std::uint8_t* bits, std::size_t at, std::uint8_t v) {
    const svuint8_t place = svindex_u8(0, 1);
    const svuint8_t two = svld1_u8(svptrue_pat_b8(SV_VL2), bits + at / 8);
    const svuint8_t spread = svtbl_u8(two, svlsr_n_u8_x(sixteen(), place, 3));
    const svuint8_t down = svlsr_u8_x(sixteen(), spread, svand_n_u8_x(sixteen(), place, 7));
    const svbool_t clear = svcmpeq_n_u8(sixteen(), svand_n_u8_x(sixteen(), down, 1), 0);
    return svdup_n_u8_z(clear, v);
  }

  /// The code whose value is nearest to v, a midpoint going up, and that value.
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    code = words(0);
    for (int i = 0; i < 15; ++i)
      code = plus_where(code, svcmpge_n_f32(all(), v, table.middles[i]), 1);
    value = looked_up(values_of(table), code);
  }
  static I byte_words(const std::uint8_t* p, std::size_t n) {
    return svld1ub_u32(lanes32(0, n), p);
  }
  static I low_nibbles(I v) { return svand_n_u32_x(all(), v, 15); }
  static F to_floats(I v) { return svcvt_f32_u32_x(all(), v); }
  template <bool kStream>
  static void put(float* p, F v, std::size_t n) {
    svst1_f32(lanes32(0, n), p, v);
  }
  static bool streams(const float*, std::size_t, std::size_t) { return false; }
  static void fence() {}
};

}  // namespace
}  // namespace qb::quantize
