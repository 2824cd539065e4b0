// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, NEON (armv8-a): four blocks at a time.
//
//   quantize    A 4x4 transpose of floats. A code is the number of midpoints below, FCMGE and SUB
//               each; TBL looks up its value.
//   dequantize  TBL looks up the values as bytes; then as s4 (s4_neon.h).
#include "quantize/kernels.h"
#include "quantize/lanes_neon.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

struct Vectors : Lanes {
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    code = words(0);
    for (int i = 0; i < 15; ++i) code = plus_where(code, less_equal(set(table.middles[i]), v), 1);
    // The bytes above the low one look up T[0]; the shifts drop them.
    const int8x16_t found = vqtbl1q_s8(vld1q_s8(table.bytes), vreinterpretq_u8_u32(code));
    const int32x4_t top = vshlq_n_s32(vreinterpretq_s32_s8(found), 24);
    value = vcvtq_f32_s32(vshrq_n_s32(top, 24));
  }
  template <bool kStream>
  static void decode(const std::uint8_t* qs, const TableOf16& table, float scale, float* y) {
    const uint8x16_t codes = vld1q_u8(qs);
    const int8x16_t values = vld1q_s8(table.bytes);
    scaled(vqtbl1q_s8(values, vandq_u8(codes, vdupq_n_u8(15))), scale, y);
    scaled(vqtbl1q_s8(values, vshrq_n_u8(codes, 4)), scale, y + kBlock / 2);
  }
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
