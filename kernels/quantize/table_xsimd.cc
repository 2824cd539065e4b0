// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, portable. xsimd 8 has no lookup by lane: a value
// is the sum of the steps of the table up to it, which is exact.
#include "quantize/kernels.h"
#include "quantize/lanes_xsimd.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

struct Vectors : Lanes {
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

 private:
  static const std::uint8_t* bytes_of(const TableOf16& table) {
    return reinterpret_cast<const std::uint8_t*>(table.bytes);
  }
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
