// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, SVE: as many blocks at a time as a vector has
// lanes.
//
//   quantize    Columns are gathered. A code is the number of midpoints below, FCMGE and ADD under
//   its
//               predicate each; TBL looks up its value.
//   dequantize  TBL looks up the values as bytes in 32-bit lanes; SXTB, SCVTF, FMUL.
#include "quantize/kernels.h"
#include "quantize/lanes_sve.h"
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

struct Vectors : Lanes {
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    code = words(0);
    for (int i = 0; i < 15; ++i)
      code = plus_where(code, svcmpge_n_f32(all(), v, table.middles[i]), 1);
    value = looked_up(values_of(table), code);
  }
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
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
