// What the limits of the 256-bit x86 levels share: vectors, the streaming loops, and the f32 peak.
#pragma once

#include <immintrin.h>

#include "limits_kernels.h"

namespace qb::limits {
namespace {
using V = __m256i;
inline V load(const V* p) { return _mm256_load_si256(p); }
inline void store(V* p, V v) { _mm256_store_si256(p, v); }
inline void stream(V* p, V v) { _mm256_stream_si256(p, v); }
inline V join(V a, V b) { return _mm256_or_si256(a, b); }
inline void fence() { _mm_sfence(); }
inline void keep(V v) { __asm__ volatile("" ::"x"(v)); }
}  // namespace
}  // namespace qb::limits

#include "limits_peak.h"
#include "limits_stream.h"

namespace qb::limits {
namespace {

[[maybe_unused]] double f32_peak(std::size_t rounds) {
  chains<12>(rounds, _mm256_set1_ps(1.0f), _mm256_set1_ps(0.999f),
             [](__m256 sum, __m256 x) { return _mm256_fmadd_ps(x, x, sum); });
  return 12 * 8 * 2;
}

}  // namespace
}  // namespace qb::limits
