// What the limits of 128-bit x86 levels share: vectors, the streaming loops, and the f32 peak.
#pragma once

#include <emmintrin.h>

#include "limits_kernels.h"

namespace qb::limits {
namespace {
using V = __m128i;
inline V load(const V* p) { return _mm_load_si128(p); }
inline void store(V* p, V v) { _mm_store_si128(p, v); }
inline void stream(V* p, V v) { _mm_stream_si128(p, v); }
inline V join(V a, V b) { return _mm_or_si128(a, b); }
inline void fence() { _mm_sfence(); }
inline void keep(V v) { __asm__ volatile("" ::"x"(v)); }
}  // namespace
}  // namespace qb::limits

#include "limits_peak.h"
#include "limits_stream.h"

namespace qb::limits {
namespace {

double f32_peak(std::size_t rounds) {
  chains<8>(rounds, _mm_set1_ps(1.0f), _mm_set1_ps(0.999f),
            [](__m128 sum, __m128 x) { return _mm_add_ps(sum, _mm_mul_ps(x, x)); });
  return 8 * 4 * 2;
}

}  // namespace
}  // namespace qb::limits
