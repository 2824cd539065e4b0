// SPDX-License-Identifier: Apache-2.0
// Limits of the AMX level: products of tiles that stay in their registers, a 2x2 square of sums as
// the kernels have it. Bandwidth and f32 are AVX-512's.
#include "limits_kernels.h"
#include "matmul/amx_tiles.h"

namespace qb::limits {
namespace {

QB_TILE_PRODUCTS(Int8, _tile_dpbssd)
QB_TILE_PRODUCTS(Bf16, _tile_dpbf16ps)

/// Full tiles, all zero.
template <class Products>
void square(std::size_t rounds) {
  matmul::configure(matmul::kRows, matmul::kRows, matmul::kLine);
  for (std::size_t i = 0; i < rounds; ++i) {
    Products::upper_left();
    Products::upper_right();
    Products::lower_left();
    Products::lower_right();
  }
  _tile_release();
}

double int8_peak(std::size_t rounds) {
  square<Int8>(rounds);
  return 4 * 16 * 16 * 64 * 2;
}

double bf16_peak(std::size_t rounds) {
  square<Bf16>(rounds);
  return 4 * 16 * 16 * 32 * 2;
}

}  // namespace

extern const LimitKernels limits_amx{
    .isa = "amx", .bf16_peak = bf16_peak, .int8_peak = int8_peak, .int4_peak = int8_peak};
}  // namespace qb::limits
