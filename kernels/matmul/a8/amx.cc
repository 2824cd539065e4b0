// SPDX-License-Identifier: Apache-2.0
// Products of int8 activations, AMX.
//
// tdpbssd adds the products of 16 rows of activations and 16 outputs, 64 of K at a time, in 16
// cycles: 2048 operations a cycle, which what feeds it has to keep up with.
//
// One scale per output (amx_tiles.h has the blocking): 8-bit weights are multiplied as they are
// packed. 4-bit ones are decoded, a block of a panel at a time, to 16 times their value: two
// vpternlogd and a shift for 128 codes, without a sign to extend (llvm-mca: 13 cycles for a tile of
// 1024). The sums are 16 times too large then, and still fit int32 for the longest row there may be
// (127*128*K); a shift takes the 16 away.
//
// Scales per group: every block of 32 is a product of its own, whose sums leave the tile by way of
// L1 to be converted, scaled and added. For 16 rows of 16 outputs, 16384 operations: 48 uops of the
// two vector ports, 24 cycles, and 57 loads (24 rows of tiles, 16 of sums, 17 scales), 28 at two a
// cycle. That binds, so nothing else may stand in its way: the 16 rows' totals stay in registers,
// the product and the store belong to later blocks, and the two buffers they pass through neither
// alias nor are read right after they are written. (llvm-mca counts one port for all 48, but this
// CPU has two.) Of 12 rows or fewer reading the weights from the third cache takes longer.
//
// Few rows take tiles of as many rows: the unit's time, and what the sums cost, goes by them, so
// that one row is bound by reading (4-bit: and decoding) the weights.
#include "matmul/a8/amx_groups.h"
#include "matmul/a8/amx_outputs.h"

#if !(defined(__AMX_INT8__) || defined(__AMXINT8__)) || !defined(__AVX512DQ__)  // clang 14's name
#error "compile with the flags of cmake/Isa.cmake for amx"
#endif

namespace qb::matmul {
namespace {

template <class F>
constexpr Kernel kernel_of() {
  if constexpr (F::per_group)
    return grouped_kernel<F>();
  else
    return dense_kernel<F>();
}

}  // namespace

constexpr Kernels matmul_a8_amx =
    every_quantized_format([](auto format) { return kernel_of<decltype(format)>(); });

}  // namespace qb::matmul
