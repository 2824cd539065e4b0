// SPDX-License-Identifier: Apache-2.0
// What the AVX-512 kernels of 8-bit codes share (s8_avx512.cc, q8_0_avx512.cc).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/avx512.h"

namespace qb::quantize {
namespace {

constexpr float kMost = 127.0f;

/// Any number of codes, sixteen at a time.
template <class Rounding, class T>
inline void some_codes(const T* x, std::size_t n, __m512 inv, std::int8_t* q) {
  for (std::size_t j = 0; j < n; j += 16)
    _mm512_mask_cvtsepi32_storeu_epi8(q + j, first16(n - j),
                                      Rounding::code(load16(x + j, n - j), inv));
}

inline __m512 product16(__m128i q, __m512 scale) {
  return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)), scale);
}
inline __m128i load_codes(const std::int8_t* q) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(q));
}

inline __m256i halves(__m512 v) { return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); }

template <bool kStream>
inline void back32(const std::int8_t* q, __m512 scale, float* y) {
  store<kStream>(y, _mm512_castps_si512(product16(load_codes(q), scale)));
  store<kStream>(y + 16, _mm512_castps_si512(product16(load_codes(q + 16), scale)));
}
template <bool kStream>
inline void back32(const std::int8_t* q, __m512 scale, f16* y) {
  const __m256i low = halves(product16(load_codes(q), scale));
  const __m256i high = halves(product16(load_codes(q + 16), scale));
  store<kStream>(y, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}

}  // namespace
}  // namespace qb::quantize
