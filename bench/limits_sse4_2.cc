// Limits of the SSE4.2 level: as the baseline, but with pmaddubsw for the integer dot product.
#include <nmmintrin.h>

#include "limits_sse.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  V a[8];
  for (auto& v : a) v = _mm_setzero_si128();
  V x = _mm_set1_epi8(3), ones = _mm_set1_epi16(1);
  for (std::size_t i = 0; i < rounds; ++i)
    for (auto& v : a) {
      __asm__ volatile("" : "+x"(x));
      v = _mm_add_epi32(v, _mm_madd_epi16(_mm_maddubs_epi16(x, x), ones));
    }
  for (auto& v : a) __asm__ volatile("" ::"x"(v));
  return 8 * 16 * 2;
}

// Eight products of nibbles and bytes add up in 16 bits (8 * 2 * 15 * 127 < 32768), so that only
// the eighth addition has to widen.
double int4_peak(std::size_t rounds) {
  V a[4];
  for (auto& v : a) v = _mm_setzero_si128();
  V x = _mm_set1_epi8(3), ones = _mm_set1_epi16(1);
  for (std::size_t i = 0; i < rounds; ++i)
    for (auto& v : a) {
      V sum = _mm_maddubs_epi16(x, x);
      for (int product = 1; product < 8; ++product) {
        __asm__ volatile("" : "+x"(x));
        sum = _mm_add_epi16(sum, _mm_maddubs_epi16(x, x));
      }
      v = _mm_add_epi32(v, _mm_madd_epi16(sum, ones));
    }
  for (auto& v : a) __asm__ volatile("" ::"x"(v));
  return 4 * 8 * 16 * 2;
}

}  // namespace

extern const LimitKernels limits_sse4_2{"sse4.2", sizeof(V), kLoops,   kLoopCount,
                                        f32_peak, int8_peak, int4_peak};
}  // namespace qb::limits
