// SPDX-License-Identifier: Apache-2.0
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
inline V zero() { return _mm256_setzero_si256(); }
inline V bytes(char v) { return _mm256_set1_epi8(v); }
inline V words(short v) { return _mm256_set1_epi16(v); }
inline V add16(V a, V b) { return _mm256_add_epi16(a, b); }
inline V add32(V a, V b) { return _mm256_add_epi32(a, b); }
inline V pairs16(V a, V b) { return _mm256_maddubs_epi16(a, b); }
inline V pairs32(V a, V b) { return _mm256_madd_epi16(a, b); }

using F = __m256;
inline F floats(float v) { return _mm256_set1_ps(v); }
inline F fma(F x, F y, F sum) { return _mm256_fmadd_ps(x, y, sum); }
}  // namespace
}  // namespace qb::limits

#include "limits_x86.h"

namespace qb::limits {
extern const LimitKernels limits_avx2 = x86_limits("avx2");
}  // namespace qb::limits
