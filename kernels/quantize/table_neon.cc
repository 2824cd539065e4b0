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
