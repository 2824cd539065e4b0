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

#include "limits_stream.h"

namespace qb::limits {
namespace {

double f32_peak(std::size_t rounds) {
  __m128 a[8];
  for (auto& v : a) v = _mm_set1_ps(1.0f);
  __m128 x = _mm_set1_ps(0.999f);
  for (std::size_t i = 0; i < rounds; ++i)
    for (auto& v : a) {
      __asm__ volatile("" : "+x"(x));
      v = _mm_add_ps(v, _mm_mul_ps(x, x));
    }
  for (auto& v : a) __asm__ volatile("" ::"x"(v));
  return 8 * 4 * 2;
}

}  // namespace
}  // namespace qb::limits
