// SPDX-License-Identifier: Apache-2.0
// How 8-bit codes in groups become bf16 for vdpbf16ps: bytes as they are packed, to floats, times
// their scales, rounded.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/abf16/avx512bf16_rows.h"

namespace qb::matmul {
namespace {

/// What is in v is done before what needs it begins.
template <class V, size_t count>
[[gnu::always_inline]] inline void stage(V (&v)[count]) {
  if constexpr (count == 4) asm("" : "+v"(v[0]), "+v"(v[1]), "+v"(v[2]), "+v"(v[3]));
}

/// Four of K of all outputs, a quarter of them in a vector of floats: byte q of dword 4l+j of a
/// step's register is j of the output in lane l of vector q, stored +128. As the second byte of
/// 32768 it is a float with 32768 to spare.
struct Widened {
  using Layout = Fours;
  static constexpr size_t unit = kBlock * kPanel;
  static constexpr size_t slack = 2;  ///< bytes behind the last panel that are read
  static constexpr size_t kFactors = 8;
  static constexpr float kSpare = 32768 + 128;
  /// Vector v of step i: its codes, as floats with something to spare. Loads that start up to two
  /// bytes before or after bring a byte to the second's place, where any pipe blends; shifts and
  /// shuffles share theirs with products and conversions.
  [[gnu::always_inline]] static __m512 spared(const Byte* p, size_t i, size_t v) {
    return _mm512_castsi512_ps(_mm512_mask_blend_epi8(
        0x2222222222222222, _mm512_set1_epi32(0x47000000), load(p + i * 64 + v - 1)));
  }
  /// Scales of the quarters, and what is to spare.
  [[gnu::always_inline]] static void factors(const Byte* p, __m512i (&f)[kFactors]) {
    const __m512 scales = _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    const __m512 quarter[] = {_mm512_permute_ps(scales, 0), _mm512_permute_ps(scales, 0x55),
                              _mm512_permute_ps(scales, 0xaa), _mm512_permute_ps(scales, 0xff)};
    QB_UNROLL for (size_t q = 0; q < 4; ++q) {
      f[q] = _mm512_castps_si512(quarter[q]);
      f[4 + q] = _mm512_castps_si512(_mm512_mul_ps(quarter[q], _mm512_set1_ps(-kSpare)));
    }
  }
  /// Vectors of step i from the `from`th on.
  template <size_t count>
  [[gnu::always_inline]] static void get(const Byte* p, size_t i, size_t from, const __m512i* f,
                                         __m512i (&to)[count]) {
    __m512 v[2 * count];
    QB_UNROLL for (size_t j = 0; j < 2 * count; ++j) v[j] = spared(p, i, 2 * from + j);
    stage(v);
    QB_UNROLL for (size_t j = 0; j < 2 * count; ++j) {
      const __m512 scale = _mm512_castsi512_ps(f[2 * from + j]);
      // Of an f16 scale all products are exact, and so is their difference.
      v[j] = _mm512_fmadd_ps(v[j], scale, _mm512_castsi512_ps(f[4 + 2 * from + j]));
    }
    stage(v);
    QB_UNROLL for (size_t j = 0; j < count; ++j) to[j] = rounded(v[2 * j], v[2 * j + 1]);
  }
  /// K 0-31 of all outputs, a byte each, to their places.
  static void put(const __m256i (&codes)[kPanel], Byte* to) {
    for (size_t l = 0; l < 4; ++l) {
      const auto at = [&](size_t q) {
        return _mm256_xor_si256(codes[Layout::output(q, l)], _mm256_set1_epi8(-128));
      };
      const __m256i a = at(0), b = at(1), c = at(2), d = at(3);
      const __m256i low[] = {_mm256_unpacklo_epi8(a, b), _mm256_unpacklo_epi8(c, d)};
      const __m256i high[] = {_mm256_unpackhi_epi8(a, b), _mm256_unpackhi_epi8(c, d)};
      const __m256i steps[] = {
          _mm256_unpacklo_epi16(low[0], low[1]), _mm256_unpackhi_epi16(low[0], low[1]),
          _mm256_unpacklo_epi16(high[0], high[1]), _mm256_unpackhi_epi16(high[0], high[1])};
      for (size_t i = 0; i < 4; ++i) {
        auto* const lane = reinterpret_cast<__m128i*>(to + i * 64 + l * 16);
        _mm_storeu_si128(lane, _mm256_castsi256_si128(steps[i]));
        _mm_storeu_si128(lane + 16, _mm256_extracti128_si256(steps[i], 1));
      }
    }
  }
  static int code(const Byte* block, size_t c, size_t k) {
    const size_t q = c / 8 + c / 2 % 2 * 2, l = c / 4 % 2 * 2 + c % 2;
    return block[k / 4 * 64 + l * 16 + k % 4 * 4 + q] - 128;
  }
};

/// The same with two floats for a block of each output: the scales of its first and second 16, or a
/// scale and a minimum.
template <bool minimum>
struct WidenedPairs : Widened {
  /// Of the quarters the first, then the second.
  [[gnu::always_inline]] static void factors(const Byte* p, __m512i (&f)[kFactors]) {
    QB_UNROLL for (size_t half = 0; half < 2; ++half) {
      const __m512 v = _mm512_loadu_ps(p + half * kPanel * sizeof(float));
      f[4 * half] = _mm512_castps_si512(_mm512_permute_ps(v, 0));
      f[4 * half + 1] = _mm512_castps_si512(_mm512_permute_ps(v, 0x55));
      f[4 * half + 2] = _mm512_castps_si512(_mm512_permute_ps(v, 0xaa));
      f[4 * half + 3] = _mm512_castps_si512(_mm512_permute_ps(v, 0xff));
    }
  }
  template <size_t count>
  [[gnu::always_inline]] static void get(const Byte* p, size_t i, size_t from, const __m512i* f,
                                         __m512i (&to)[count]) {
    __m512 v[2 * count];
    QB_UNROLL for (size_t j = 0; j < 2 * count; ++j) {
      // The product is exact only once what is to spare is gone.
      const __m512 codes = _mm512_sub_ps(spared(p, i, 2 * from + j), _mm512_set1_ps(kSpare));
      const __m512 first = _mm512_castsi512_ps(f[2 * from + j]);
      const __m512 second = _mm512_castsi512_ps(f[4 + 2 * from + j]);
      if constexpr (minimum)
        v[j] = _mm512_fmsub_ps(codes, first, second);
      else
        v[j] = _mm512_mul_ps(codes, i < 4 ? first : second);
    }
    QB_UNROLL for (size_t j = 0; j < count; ++j) to[j] = rounded(v[2 * j], v[2 * j + 1]);
  }
};

/// How codes are decoded, by their scales.
template <class>
struct Decoded {
  using Type = Widened;
};
template <>
struct Decoded<ScaleOf16> {
  using Type = WidenedPairs<false>;
};
template <>
struct Decoded<ScaleAndMinimum> {
  using Type = WidenedPairs<true>;
};

}  // namespace
}  // namespace qb::matmul
