// SPDX-License-Identifier: Apache-2.0
// s8 of f16, AVX-512 with half arithmetic: 32 elements a vector and no conversion. The products are
// the notebook's f16(x*inv) as they come.
//
//   quantize    vmulph, vcvtph2w (its rounding is rne), and two operations pack two vectors: six
//               for 64 codes. The pass for the maximum costs four, so memory binds.
//   dequantize  vpmovsxbw, vcvtw2ph; division by vmulph with the reciprocal and one vfnmadd,
//               vfmadd step: five operations for 32, where vdivph alone takes sixteen cycles
//
// llvm-mca for Sapphire Rapids, whose model has one port for 512-bit halves where the CPU has two:
// 64 codes take 4 cycles, 32 quotients 4.
#include "core/avx512.h"

#include "quantize/kernels.h"

#if !defined(__AVX512FP16__)
#error "compile with the flags of cmake/Isa.cmake for avx512fp16"
#endif

namespace qb::quantize {
namespace {

inline __m512h splat(f16 h) {
  return _mm512_castsi512_ph(_mm512_set1_epi16(static_cast<std::int16_t>(h)));
}

/// 64 codes, 32 a vector. The pack works within quarters.
inline __m512i codes64(__m512i a, __m512i b, __m512h inv) {
  const auto words = [=](__m512i v) {
    return _mm512_cvtph_epi16(_mm512_mul_ph(_mm512_castsi512_ph(v), inv));
  };
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                  _mm512_packs_epi16(words(a), words(b)));
}

inline void some_codes(const f16* x, std::size_t n, __m512h inv, std::int8_t* q) {
  const __m512i a = _mm512_maskz_loadu_epi16(first32(n), x);
  const __m512i b = _mm512_maskz_loadu_epi16(first32(beyond(n, 32)), x + 32);
  _mm512_mask_storeu_epi8(q, first64(n), codes64(a, b, inv));
}

template <bool kStream>
inline void codes(const f16* x, std::size_t len, f16 factor, std::int8_t* q) {
  const __m512h inv = splat(factor);
  std::size_t j = 0;
  if (kStream) {
    j = -reinterpret_cast<std::uintptr_t>(q) % kLineBytes;
    j = j < len ? j : len;
    some_codes(x, j, inv, q);
  }
  for (; j + 64 <= len; j += 64) {
    store<kStream>(q + j, codes64(_mm512_loadu_si512(x + j), _mm512_loadu_si512(x + j + 32), inv));
  }
  if (j < len) some_codes(x + j, len - j, inv, q + j);
}

/// Division by a half: the remainder of the first quotient is exact, and with it the second one is
/// rounded once. Below 2^-8 q/inv may overflow on the way, above 2^14 the reciprocal loses bits.
struct Quotient {
  __m512h inv, reciprocal;
  explicit Quotient(f16 h) : inv(splat(h)), reciprocal(splat(f16(narrowed(1.0f / widened(h))))) {}
  static bool fits(float h) { return h > 0x1p-8f && h <= 0x1p14f; }
  __m512i of(__m512h v) const {
    const __m512h first = _mm512_mul_ph(v, reciprocal);
    return _mm512_castph_si512(_mm512_fmadd_ph(_mm512_fnmadd_ph(first, inv, v), reciprocal, first));
  }
};

/// By any half but 0.
struct SlowQuotient {
  __m512h inv;
  explicit SlowQuotient(f16 h) : inv(splat(h)) {}
  __m512i of(__m512h v) const { return _mm512_castph_si512(_mm512_div_ph(v, inv)); }
};

inline __m512h widen(__m256i codes) { return _mm512_cvtepi16_ph(_mm512_cvtepi8_epi16(codes)); }

template <class Q>
inline void some_back(const std::int8_t* q, std::size_t n, const Q& quotient, f16* y) {
  _mm512_mask_storeu_epi16(y, first32(n),
                           quotient.of(widen(_mm256_maskz_loadu_epi8(first32(n), q))));
}

template <bool kStream, class Q>
inline void back(const std::int8_t* q, std::size_t len, f16 inv, f16* y) {
  const Q quotient(inv);
  std::size_t j = 0;
  if (kStream) {
    j = -reinterpret_cast<std::uintptr_t>(y) % kLineBytes / sizeof *y;
    j = j < len ? j : len;
    some_back(q, j, quotient, y);
  }
  const auto line = [&](std::size_t at) {
    const __m256i codes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(q + at));
    store<kStream>(y + at, quotient.of(widen(codes)));
  };
  for (; j + 64 <= len; j += 64) {
    line(j);
    line(j + 32);
  }
  for (; j < len; j += 32) some_back(q + j, len - j, quotient, y + j);
}

template <bool kStream>
inline void dequantize(const std::int8_t* q, std::size_t groups, std::size_t len, const f16* inv,
                       f16* y) {
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) {
    const float divisor = widened(inv[i]);
    if (Quotient::fits(divisor)) {
      back<kStream, Quotient>(q, len, inv[i], y);
    } else if (divisor == 0.0f) {
      for (std::size_t j = 0; j < len; ++j) y[j] = f16(0);
    } else {
      back<kStream, SlowQuotient>(q, len, inv[i], y);
    }
  }
  if (kStream) _mm_sfence();
}

}  // namespace

void quantize_f16_s8_avx512fp16(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                                f16* inv) {
  const bool stream = past_caches(groups * len * sizeof *x, groups * len);
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    inv[i] = half_inverse(absmax_of_1(x, len), 127.0f);
    stream ? codes<true>(x, len, inv[i], q) : codes<false>(x, len, inv[i], q);
  }
  if (stream) _mm_sfence();
}

void dequantize_s8_f16_avx512fp16(const std::int8_t* q, std::size_t groups, std::size_t len,
                                  const f16* inv, f16* y) {
  if (past_caches(groups * len, groups * len * sizeof *y))
    dequantize<true>(q, groups, len, inv, y);
  else
    dequantize<false>(q, groups, len, inv, y);
}

}  // namespace qb::quantize
