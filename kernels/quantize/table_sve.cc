// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, SVE: as many blocks at a time as a vector has
// lanes.
//
//   quantize    Columns are gathered. A code is the number of midpoints below, FCMGE and ADD under
//               its predicate each; TBL looks up its value.
//   dequantize  TBL looks up the values as bytes in 32-bit lanes; SXTB, SCVTF, FMUL.
#include "quantize/kernels.h"
#include "quantize/lanes_sve.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

struct Vectors : Lanes {
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
