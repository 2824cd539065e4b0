// SPDX-License-Identifier: Apache-2.0
// Limits of the SSE4.2 level: as the baseline, but with pmaddubsw for the integer dot product.
#include <nmmintrin.h>

#include "limits_kernels.h"
#include "limits_peak.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  const __m128i ones = _mm_set1_epi16(1);
  chains<8>(rounds, _mm_setzero_si128(), _mm_set1_epi8(3), [=](__m128i sum, __m128i x) {
    return _mm_add_epi32(sum, _mm_madd_epi16(_mm_maddubs_epi16(x, x), ones));
  });
  return 8 * 16 * 2;
}

// Eight products of nibbles and bytes add up in 16 bits (8 * 2 * 15 * 127 < 32768), so that only
// the eighth addition has to widen.
double int4_peak(std::size_t rounds) {
  const __m128i ones = _mm_set1_epi16(1);
  chains<4>(rounds, _mm_setzero_si128(), _mm_set1_epi8(3), [=](__m128i sum, __m128i& x) {
    __m128i words = _mm_maddubs_epi16(x, x);
    for (int product = 1; product < 8; ++product) {
      hide(x);
      words = _mm_add_epi16(words, _mm_maddubs_epi16(x, x));
    }
    return _mm_add_epi32(sum, _mm_madd_epi16(words, ones));
  });
  return 4 * 8 * 16 * 2;
}

}  // namespace

extern const LimitKernels limits_sse4_2{
    .isa = "sse4.2", .int8_peak = int8_peak, .int4_peak = int4_peak};
}  // namespace qb::limits
