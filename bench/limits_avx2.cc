// Limits of the AVX2 level: 32-byte streams, FMA, vpmaddubsw + vpmaddwd + vpaddd.
#include <immintrin.h>

#include "limits_kernels.h"

namespace qb::limits {
namespace {
using V = __m256i;
inline V load(const V* p) { return _mm256_load_si256(p); }
inline void store(V* p, V v) { _mm256_store_si256(p, v); }
inline void stream(V* p, V v) { _mm256_stream_si256(p, v); }
inline void fence() { _mm_sfence(); }
inline void keep(V v) { __asm__ volatile("" ::"x"(v)); }
}  // namespace
}  // namespace qb::limits

#include "limits_peak.h"
#include "limits_stream.h"

namespace qb::limits {
namespace {

double f32_peak(std::size_t rounds) {
  chains<12>(rounds, _mm256_set1_ps(1.0f), _mm256_set1_ps(0.999f),
             [](__m256 sum, __m256 x) { return _mm256_fmadd_ps(x, x, sum); });
  return 12 * 8 * 2;
}

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

extern const LimitKernels limits_avx2{.isa = "avx2",
                                      .step_bytes = sizeof(V),
                                      .loops = kLoops,
                                      .loop_count = kLoopCount,
                                      .f32_peak = f32_peak,
                                      .int8_peak = int8_peak,
                                      .int4_peak = int4_peak};
}  // namespace qb::limits
