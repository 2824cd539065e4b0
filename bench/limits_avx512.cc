// Limits of the AVX-512 level: 64-byte streams, FMA, vpmaddubsw + vpmaddwd + vpaddd.
#include <immintrin.h>

#include "limits_kernels.h"

namespace qb::limits {
namespace {
using V = __m512i;
inline V load(const V* p) { return _mm512_load_si512(p); }
inline void store(V* p, V v) { _mm512_store_si512(p, v); }
inline void stream(V* p, V v) { _mm512_stream_si512(p, v); }
inline void fence() { _mm_sfence(); }
inline void keep(V v) { __asm__ volatile("" ::"v"(v)); }
}  // namespace
}  // namespace qb::limits

#include "limits_peak.h"
#include "limits_stream.h"

namespace qb::limits {
namespace {

double f32_peak(std::size_t rounds) {
  chains<12>(rounds, _mm512_set1_ps(1.0f), _mm512_set1_ps(0.999f),
             [](__m512 sum, __m512 x) { return _mm512_fmadd_ps(x, x, sum); });
  return 12 * 16 * 2;
}

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

extern const LimitKernels limits_avx512{.isa = "avx512",
                                        .step_bytes = sizeof(V),
                                        .loops = kLoops,
                                        .loop_count = kLoopCount,
                                        .f32_peak = f32_peak,
                                        .int8_peak = int8_peak,
                                        .int4_peak = int4_peak};
}  // namespace qb::limits
