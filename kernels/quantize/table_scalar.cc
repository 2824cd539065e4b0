// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, in plain C++: `scalar` (vectorisation off),
// `autovec` and `autovec_avx2` (on).
#include "quantize/kernels.h"
#include "quantize/lanes_scalar.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

struct Vectors : Lanes {
  template <bool kStream>
  static void decode(const std::uint8_t* qs, const TableOf16& table, float scale, float* y) {
    for (std::size_t j = 0; j < kBlock / 2; ++j) {
      y[j] = table.values[qs[j] & 15u] * scale;
      y[j + kBlock / 2] = table.values[qs[j] >> 4] * scale;
    }
  }
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
