// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, AVX-512: sixteen blocks at a time.
//
//   quantize    A 16x16 transpose of floats, four shuffles a vector. A code of a table is found by
//               halving: four times a midpoint by vpermps, a comparison, an addition under its
//               mask.
//   dequantize  A table of the sixteen products in one register, looked up by vpermps.
#include "quantize/kernels.h"
#include "quantize/lanes_avx512.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

struct Vectors : Lanes {
  template <bool kStream>
  static void decode(const std::uint8_t* qs, const TableOf16& table, float scale, float* y) {
    const __m512 products = _mm512_mul_ps(_mm512_load_ps(table.values), _mm512_set1_ps(scale));
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(qs)));
    // vpermps ignores the bits above the low four.
    const __m512 low = _mm512_permutexvar_ps(bytes, products);
    const __m512 high = _mm512_permutexvar_ps(_mm512_srli_epi32(bytes, 4), products);
    qb::store<kStream>(y, _mm512_castps_si512(low));
    qb::store<kStream>(y + 16, _mm512_castps_si512(high));
  }
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
