// What the limits of the 512-bit x86 levels share: vectors, the streaming loops, and the f32 peak.
#pragma once

#include <immintrin.h>

#include "limits_kernels.h"

namespace qb::limits {
namespace {
using V = __m512i;
inline V load(const V* p) { return _mm512_load_si512(p); }
inline void store(V* p, V v) { _mm512_store_si512(p, v); }
inline void stream(V* p, V v) { _mm512_stream_si512(p, v); }
inline V join(V a, V b) { return _mm512_or_si512(a, b); }
inline void fence() { _mm_sfence(); }
inline void keep(V v) { __asm__ volatile("" ::"v"(v)); }
}  // namespace
}  // namespace qb::limits

#include "limits_peak.h"
#include "limits_stream.h"

namespace qb::limits {
namespace {

[[maybe_unused]] double f32_peak(std::size_t rounds) {
  chains<12>(rounds, _mm512_set1_ps(1.0f), _mm512_set1_ps(0.999f),
             [](__m512 sum, __m512 x) { return _mm512_fmadd_ps(x, x, sum); });
  return 12 * 16 * 2;
}

}  // namespace
}  // namespace qb::limits
