// SPDX-License-Identifier: Apache-2.0
// What the AVX2 conversions share: the loop that runs a converter over an array. Arrays too large
// for the caches are written with non-temporal stores, and narrowing reads them at two places in
// turn.
//
// Everything is in an anonymous namespace: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include "convert/streams.h"
#include "quantbench/types.h"

#if !defined(__AVX2__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2"
#endif

namespace qb::convert {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i load_half(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

/// kStream: past the caches; p is then 32-byte aligned.
template <bool kStream>
inline void store(void* p, __m256i v) {
  if constexpr (kStream)
    _mm256_stream_si256(static_cast<__m256i*>(p), v);
  else
    _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}

template <class C>
inline void run(const typename C::In* x, std::size_t n, typename C::Out* y) {
  std::size_t i = 0;
  if (past_caches(n * sizeof *x, n * sizeof *y)) {
    // One block up to y's first cache line; the next blocks write the rest of it again, the same.
    C::template block<false>(x, y);
    static_assert(C::kBlock * sizeof *y >= kLine);
    i = (-reinterpret_cast<std::uintptr_t>(y) % kLine) / sizeof *y;
    i += run_streams<C>(x + i, n - i, y + i);
  }
  for (; i + C::kBlock <= n; i += C::kBlock) C::template block<false>(x + i, y + i);
  for (; i + C::kVector <= n; i += C::kVector) C::vector(x + i, y + i);
  if (i == n) return;
  if (n >= C::kVector) return C::vector(x + n - C::kVector, y + n - C::kVector);
  typename C::In in[C::kVector] = {};
  typename C::Out out[C::kVector];
  __builtin_memcpy(in, x, n * sizeof *x);
  C::vector(in, out);
  __builtin_memcpy(y, out, n * sizeof *y);
}

}  // namespace
}  // namespace qb::convert
