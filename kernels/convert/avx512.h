// SPDX-License-Identifier: Apache-2.0
// What the AVX-512 conversions share: the loop that runs a converter over an array, and f32 -> bf16
// by integer operations. Arrays too large for the caches are written with non-temporal stores, and
// narrowing reads them at two places in turn. A long output is written in whole cache lines, since
// each store would touch two lines otherwise.
//
// Everything is in an anonymous namespace: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include "convert/streams.h"
#include "quantbench/types.h"

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__AVX512DQ__)
#error "compile with the flags of cmake/Isa.cmake for avx512"
#endif

namespace qb::convert {
namespace {

[[maybe_unused]] inline __m512i load(const void* p) { return _mm512_loadu_si512(p); }

/// kStream: past the caches; p is then at a cache line.
template <bool kStream>
inline void store(void* p, __m512i v) {
  if constexpr (kStream)
    _mm512_stream_si512(static_cast<__m512i*>(p), v);
  else
    _mm512_storeu_si512(p, v);
}

/// Each converter: block() turns kBlock elements, the unrolled body; some() the first n <= kVector,
/// by masks.
struct FloatToBrain {
  using In = float;
  using Out = bf16;
  static constexpr std::size_t kVector = 32, kBlock = 64;

  /// The bf16 bits of each lane in its low word, with a high word of zero. No lane may be NaN.
  /// Adding half a unit rounds ties up. A tie then has a low word of 0, and the last bit of its
  /// high word must be cleared; the saturating addition turns the low word into the mask for that.
  static __m512i round(__m512i bits) {
    const __m512i up = _mm512_add_epi32(bits, _mm512_set1_epi32(0x8000));
    const __m512i masked = _mm512_adds_epu16(up, _mm512_set1_epi32(0xfffe));
    return _mm512_and_si512(masked, _mm512_srli_epi32(masked, 16));
  }
  static __m512i round_or_quiet(__m512i bits) {
    const __m512 x = _mm512_castsi512_ps(bits);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    return _mm512_mask_srli_epi32(round(bits), nan, quiet, 16);
  }
  /// packus works in lanes: eighths 0 2 4 6 of the result from a, interleaved with b's.
  static __m512i pack(__m512i a, __m512i b) {
    return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                    _mm512_packus_epi32(a, b));
  }
  static __mmask16 any_nan(__m512i a, __m512i b) {
    return _mm512_cmp_ps_mask(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), _CMP_UNORD_Q);
  }
  template <bool kStream>
  static void block(const float* x, bf16* y) {
    const __m512i a = load(x), b = load(x + 16), c = load(x + 32), d = load(x + 48);
    if (_mm512_kortestz(any_nan(a, b), any_nan(c, d))) [[likely]] {
      store<kStream>(y, pack(round(a), round(b)));
      store<kStream>(y + 32, pack(round(c), round(d)));
    } else {
      store<kStream>(y, pack(round_or_quiet(a), round_or_quiet(b)));
      store<kStream>(y + 32, pack(round_or_quiet(c), round_or_quiet(d)));
    }
  }
  static void some(const float* x, std::size_t n, bf16* y) {
    const auto mask = __mmask32((std::uint64_t{1} << n) - 1);
    const __m512i a = _mm512_maskz_loadu_epi32(__mmask16(mask), x);
    const __m512i b = _mm512_maskz_loadu_epi32(__mmask16(mask >> 16), x + 16);
    _mm512_mask_storeu_epi16(y, mask, pack(round_or_quiet(a), round_or_quiet(b)));
  }
};

template <class C>
inline void run(const typename C::In* x, std::size_t n, typename C::Out* y) {
  constexpr std::size_t kLong = 8 * C::kBlock;
  std::size_t i = 0;
  if (n >= kLong) {
    // One block up to y's first cache line; the next blocks write the rest of it again, the same.
    i = (-reinterpret_cast<std::uintptr_t>(y) % kLine) / sizeof *y;
    static_assert(C::kBlock * sizeof *y >= kLine);
    if (i != 0) C::template block<false>(x, y);
    if (past_caches(n * sizeof *x, n * sizeof *y)) i += run_streams<C>(x + i, n - i, y + i);
  }
  for (; i + C::kBlock <= n; i += C::kBlock) C::template block<false>(x + i, y + i);
  for (; i + C::kVector <= n; i += C::kVector) C::some(x + i, C::kVector, y + i);
  if (i < n) C::some(x + i, n - i, y + i);
}

}  // namespace
}  // namespace qb::convert
