// Limits of the AVX-512 level: 64-byte streams, FMA, vpmaddubsw + vpmaddwd + vpaddd.
#include "limits_zmm.h"

namespace qb::limits {
namespace {

double int8_peak(std::size_t rounds) {
  const V ones = _mm512_set1_epi16(1);
  chains<8>(rounds, _mm512_setzero_si512(), _mm512_set1_epi8(3), [=](V sum, V x) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_maddubs_epi16(x, x), ones));
  });
  return 8 * 64 * 2;
}

// Eight products of nibbles and bytes add up in 16 bits (8 * 2 * 15 * 127 < 32768), so that only
// the eighth addition has to widen.
double int4_peak(std::size_t rounds) {
  const V ones = _mm512_set1_epi16(1);
  chains<4>(rounds, _mm512_setzero_si512(), _mm512_set1_epi8(3), [=](V sum, V& x) {
    V words = _mm512_maddubs_epi16(x, x);
    for (int product = 1; product < 8; ++product) {
      hide(x);
      words = _mm512_add_epi16(words, _mm512_maddubs_epi16(x, x));
    }
    return _mm512_add_epi32(sum, _mm512_madd_epi16(words, ones));
  });
  return 4 * 8 * 64 * 2;
}

}  // namespace

extern const LimitKernels limits_avx512{"avx512", sizeof(V), kLoops,   kLoopCount,
                                        f32_peak, int8_peak, int4_peak};
}  // namespace qb::limits
