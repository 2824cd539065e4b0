// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, AVX2 + F16C: eight blocks at a time.
//
//   quantize    An 8x8 transpose of floats, three shuffles a vector. A code of a table is found by
//               halving: a blend or vpermps for the midpoint, a comparison, two additions.
//   dequantize  vpshufb looks up the values as bytes; vpmovsxbd, vcvtdq2ps, vmulps.
#include "quantize/kernels.h"
#include "quantize/lanes_avx2.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

struct Vectors : Lanes {
  template <bool kStream>
  static void decode(const std::uint8_t* qs, const TableOf16& table, float scale, float* y) {
    const __m128i values = load128(table.bytes), bytes = load128(qs), low = _mm_set1_epi8(15);
    const __m128i first = _mm_shuffle_epi8(values, _mm_and_si128(bytes, low));
    const __m128i second = _mm_shuffle_epi8(values, _mm_and_si128(_mm_srli_epi16(bytes, 4), low));
    const __m256 factor = _mm256_set1_ps(scale);
    const auto put = [=](__m128i eight, float* to) {
      const __m256 v = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
      quantize::store<kStream>(to, _mm256_mul_ps(v, factor));
    };
    put(first, y);
    put(_mm_unpackhi_epi64(first, first), y + 8);
    put(second, y + 16);
    put(_mm_unpackhi_epi64(second, second), y + 24);
  }
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
