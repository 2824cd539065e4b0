// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, SVE: as many blocks at a time as a vector has
// lanes.
//
//   quantize    Columns are gathered. A code is the number of midpoints below, FCMGE and ADD under
//   its
//               predicate each; TBL looks up its value.
//   dequantize  TBL looks up the values as bytes in 32-bit lanes; SXTB, SCVTF, FMUL.
#include "core/sve.h"
#include "quantize/kernels.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

/// The float of the value that each lane's low byte is the code of: TBL by bytes, of which SXTB
/// takes the low one.
inline svfloat32_t looked_up(svint8_t values, svuint32_t codes) {
  const svbool_t all = svptrue_b32();
  const svint8_t bytes = svtbl_s8(values, svreinterpret_u8_u32(codes));
  return svcvt_f32_s32_x(all, svextb_s32_x(all, svreinterpret_s32_s8(bytes)));
}
inline svint8_t values_of(const TableOf16& table) {
  return svld1_s8(svptrue_pat_b8(SV_VL16), table.bytes);
}

struct Vectors {
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
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    code = words(0);
    for (int i = 0; i < 15; ++i)
      code = plus_where(code, svcmpge_n_f32(all(), v, table.middles[i]), 1);
    value = looked_up(values_of(table), code);
  }
  static void transpose(const float* x, float* columns) {
    const svuint32_t rows = svindex_u32(0, kBlock);
    for (std::size_t j = 0; j < kBlock; ++j)
      svst1_f32(all(), columns + j * lanes(), svld1_gather_u32index_f32(all(), x + j, rows));
  }
  static float widened(f16 h) { return qb::widened(h); }
  static f16 narrowed(float v) { return qb::narrowed(v); }
  template <bool kStream>
  static void decode(const std::uint8_t* qs, const TableOf16& table, float scale, float* y) {
    const svint8_t values = values_of(table);
    for (std::size_t j = 0; j < kBlock / 2; j += lanes()) {
      const svbool_t p = lanes32(j, kBlock / 2);  // half a block: whole vectors, or part of one
      const svuint32_t pair = svld1ub_u32(p, qs + j);
      const svuint32_t low = svand_n_u32_x(all(), pair, 15), high = shift_right<4>(pair);
      svst1_f32(p, y + j, svmul_n_f32_x(all(), looked_up(values, low), scale));
      svst1_f32(p, y + kBlock / 2 + j, svmul_n_f32_x(all(), looked_up(values, high), scale));
    }
  }
  static bool streams(const float*, std::size_t, std::size_t) { return false; }
  static void fence() {}
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
