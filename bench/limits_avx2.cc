// Limits of the AVX2 level: 32-byte streams, FMA, vpmaddubsw + vpmaddwd + vpaddd.
#include "limits_ymm.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  const V ones = _mm256_set1_epi16(1);
  chains<8>(rounds, _mm256_setzero_si256(), _mm256_set1_epi8(3), [=](V sum, V x) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, x), ones));
  });
  return 8 * 32 * 2;
}

// Eight products of nibbles and bytes add up in 16 bits (8 * 2 * 15 * 127 < 32768), so that only
// the eighth addition has to widen.
double int4_peak(std::size_t rounds) {
  const V ones = _mm256_set1_epi16(1);
  chains<4>(rounds, _mm256_setzero_si256(), _mm256_set1_epi8(3), [=](V sum, V& x) {
    V words = _mm256_maddubs_epi16(x, x);
    for (int product = 1; product < 8; ++product) {
      hide(x);
      words = _mm256_add_epi16(words, _mm256_maddubs_epi16(x, x));
    }
    return _mm256_add_epi32(sum, _mm256_madd_epi16(words, ones));
  });
  return 4 * 8 * 32 * 2;
}

}  // namespace

extern const LimitKernels limits_avx2{"avx2",   sizeof(V), kLoops,   kLoopCount,
                                      f32_peak, int8_peak, int4_peak};
}  // namespace qb::limits
