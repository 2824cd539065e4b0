// SPDX-License-Identifier: Apache-2.0
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
inline V zero() { return _mm512_setzero_si512(); }
inline V bytes(char v) { return _mm512_set1_epi8(v); }
inline V words(short v) { return _mm512_set1_epi16(v); }
inline V add16(V a, V b) { return _mm512_add_epi16(a, b); }
inline V add32(V a, V b) { return _mm512_add_epi32(a, b); }
inline V pairs16(V a, V b) { return _mm512_maddubs_epi16(a, b); }
inline V pairs32(V a, V b) { return _mm512_madd_epi16(a, b); }

using F = __m512;
inline F floats(float v) { return _mm512_set1_ps(v); }
inline F fma(F x, F y, F sum) { return _mm512_fmadd_ps(x, y, sum); }
}  // namespace
}  // namespace qb::limits

#include "limits_x86.h"

namespace qb::limits {
extern const LimitKernels limits_avx512 = x86_limits("avx512");
}  // namespace qb::limits
