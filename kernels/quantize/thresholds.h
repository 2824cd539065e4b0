// SPDX-License-Identifier: Apache-2.0
// 4-bit codes of a long f16 group by table: thresholds on the bits instead of arithmetic on values.
//
// For a given inv, the code of |x| is the number of thresholds T1..T7 at or below |x|. On the bits
// of binary16 that is integer arithmetic, a word an element; the conversion to f32, back for the
// rounding, and to f32 again falls away. T1 is less than four binades below absmax, so all codes
// other than 0 lie in 4096 patterns, and the thresholds are at least 146 patterns apart (unless
// absmax is nearly subnormal). So few thresholds are in one of the windows that the index of a
// shuffle can tell apart.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include "quantbench/types.h"

#if !defined(__F16C__)
#error "for the instruction sets of cmake/Isa.cmake that have F16C"
#endif

namespace qb::quantize {
namespace {

/// The length from which making the table pays.
constexpr std::size_t kLongHalf = 2048;

/// The bits of the smallest binary16 of each code from 1 to 7, then of code 1 once more.
struct ThresholdBits {
  alignas(32) unsigned bits[8];
  explicit ThresholdBits(float inv) {
    const __m256 each = _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 0), factor = _mm256_set1_ps(inv);
    const auto halves = [](__m256 v) { return _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT); };
    __m256i at = _mm256_cvtepu16_epi32(
        halves(_mm256_div_ps(_mm256_add_ps(each, _mm256_set1_ps(0.5f)), factor)));
    const auto reached = [=](__m256i patterns) {
      const __m128i x =
          _mm_packus_epi32(_mm256_castsi256_si128(patterns), _mm256_extracti128_si256(patterns, 1));
      const __m256 product = _mm256_cvtph_ps(halves(_mm256_mul_ps(_mm256_cvtph_ps(x), factor)));
      return _mm256_cmpgt_epi32(_mm256_cvtps_epi32(product), _mm256_cvtps_epi32(each));
    };
    // The quotient is off by the roundings: a step or two.
    for (;;) {
      const __m256i down = reached(at);
      if (_mm256_testz_si256(down, down)) break;
      at = _mm256_add_epi32(at, down);
    }
    const __m256i all = _mm256_set1_epi32(-1);
    for (;;) {
      const __m256i up = _mm256_andnot_si256(reached(at), all);
      if (_mm256_testz_si256(up, up)) break;
      at = _mm256_sub_epi32(at, up);
    }
    _mm256_store_si256(reinterpret_cast<__m256i*>(bits), at);
  }
};

}  // namespace
}  // namespace qb::quantize
