// SPDX-License-Identifier: Apache-2.0
// Activations of x86's a8 kernels, quantized on the fly by AVX2.
//
// A class Start says how a row is kept:
//   kCodeBytes, put(to, codes)  bytes of a code in the workspace; stores a block, returns its sums
//   of_row, of_block            what is kept of the sum of a row's or a block's codes
//   kMinimum                    of a block instead: the sum times the block's scale, as a float
//   kUnit                       how many codes have a scale and a sum: a block or half of it
//   kInPairs                    whether a block's scale and what is kept of its sum stand together
//   kPairedBlocks               whether rows are padded to pairs of blocks
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "matmul/a8/panels_x86.h"

namespace qb::matmul {
namespace {

inline __m256 magnitude(__m256 v) {
  return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff)));
}

inline float reduce_max(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

inline std::int32_t reduce_add(__m128i s) {
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}
inline std::int32_t reduce_add(__m256i v) {
  return reduce_add(_mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1)));
}

/// Nearest integers; half_away: a tie goes away from zero, otherwise to even. Adding the float
/// below one half and cutting off rounds ties away and leaves what lies just below a tie below.
template <bool half_away>
inline __m256i rounded(__m256 v) {
  if constexpr (!half_away) return _mm256_cvtps_epi32(v);
  const __m256 sign = _mm256_and_ps(v, _mm256_set1_ps(-0.0f));
  return _mm256_cvttps_epi32(_mm256_add_ps(v, _mm256_or_ps(sign, _mm256_set1_ps(0.49999997f))));
}

/// Codes of 32 values, in order. |v * inverse| needs no clip: it rounds to 127 at most.
template <bool half_away>
inline __m256i quantize_block(const __m256 (&v)[4], float inverse) {
  const __m256 by = _mm256_set1_ps(inverse);
  __m256i q[4];
  for (int i = 0; i < 4; ++i) q[i] = rounded<half_away>(_mm256_mul_ps(v[i], by));
  // Packing works within 128-bit lanes: dwords come out as 0 4 1 5 2 6 3 7 of the order of K.
  const __m256i bytes =
      _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// Sums of the codes, in eight parts, each of four neighbours.
inline __m256i sums(__m256i codes) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), codes), _mm256_set1_epi16(1));
}

inline void load_block(const float* x, std::size_t count, __m256 (&v)[4]) {
  if (count >= kBlock) {
    for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(x + 8 * i);
    return;
  }
  float padded[kBlock] = {};
  for (std::size_t i = 0; i < count; ++i) padded[i] = x[i];
  for (int i = 0; i < 4; ++i) v[i] = _mm256_loadu_ps(padded + 8 * i);
}

/// How codes are kept: as bytes, in order. put() stores a block and returns its sums.
struct ByteCodes {
  static constexpr bool kMinimum = false;
  static constexpr std::size_t kCodeBytes = 1, kUnit = kBlock;
  static __m256i put(std::uint8_t* to, __m256i codes) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), codes);
    return sums(codes);
  }
};

/// One scale for the row, its codes as Start::put keeps them, and Start::of_row of their sum.
template <class Start>
void prepare_per_row(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0,
                     std::size_t m1, void* workspace) {
  const std::size_t whole = padded<Start>(k);
  const RowLayout layout = row_layout(whole, false, Start::kCodeBytes);
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::uint8_t*>(workspace) + m * layout.stride;
    __m256 v[4], largest[4];
    for (__m256& l : largest) l = _mm256_setzero_ps();
    for (std::size_t i = 0; i < k; i += kBlock) {
      load_block(row + i, k - i, v);
      for (int j = 0; j < 4; ++j) largest[j] = _mm256_max_ps(largest[j], magnitude(v[j]));
    }
    const Scaling scaling = row_scaling(reduce_max(_mm256_max_ps(
        _mm256_max_ps(largest[0], largest[1]), _mm256_max_ps(largest[2], largest[3]))));
    __m256i sum = _mm256_setzero_si256();
    for (std::size_t i = 0; i < whole; i += kBlock) {
      load_block(row + least(i, k), k - least(i, k), v);
      sum = _mm256_add_epi32(
          sum, Start::put(out + i * Start::kCodeBytes, quantize_block<false>(v, scaling.inverse)));
    }
    *reinterpret_cast<float*>(out + layout.scales) = scaling.scale;
    *reinterpret_cast<std::int32_t*>(out + layout.sums) = Start::of_row(reduce_add(sum));
  }
}

/// A scale for every block, its codes as Start::put keeps them, and Start::of_block of their sum:
/// scales in a row and then sums, or in pairs.
template <class Start>
void prepare_per_block(const void* x, std::size_t, std::size_t k, std::size_t, std::size_t m0,
                       std::size_t m1, void* workspace) {
  const std::size_t whole = padded<Start>(k);
  const RowLayout layout = row_layout(whole, true, Start::kCodeBytes, Start::kUnit);
  for (std::size_t m = m0; m < m1; ++m) {
    const float* row = static_cast<const float*>(x) + m * k;
    auto* const out = static_cast<std::uint8_t*>(workspace) + m * layout.stride;
    auto* const scales = reinterpret_cast<float*>(out + layout.scales);
    auto* const starts = reinterpret_cast<std::int32_t*>(
        out + (Start::kInPairs ? layout.scales + sizeof(float) : layout.sums));
    constexpr std::size_t step = Start::kInPairs ? 2 : 1;
    for (std::size_t b = 0; b < whole / kBlock; ++b) {
      __m256 v[4];
      const std::size_t i = least(b * kBlock, k);
      load_block(row + i, k - i, v);
      const Scaling scaling =
          block_scaling(reduce_max(_mm256_max_ps(_mm256_max_ps(magnitude(v[0]), magnitude(v[1])),
                                                 _mm256_max_ps(magnitude(v[2]), magnitude(v[3])))));
      const float scale = _mm_cvtss_f32(
          _mm_cvtph_ps(_mm_cvtps_ph(_mm_set_ss(scaling.scale), _MM_FROUND_TO_NEAREST_INT)));
      const __m256i sums = Start::put(out + b * kBlock * Start::kCodeBytes,
                                      quantize_block<true>(v, scaling.inverse));
      if constexpr (Start::kUnit != kBlock) {
        const std::int32_t halves[] = {reduce_add(_mm256_castsi256_si128(sums)),
                                       reduce_add(_mm256_extracti128_si256(sums, 1))};
        for (std::size_t half = 0; half < 2; ++half) {
          scales[(2 * b + half) * step] = scale;
          starts[(2 * b + half) * step] = Start::of_block(halves[half]);
        }
      } else if constexpr (Start::kMinimum) {
        scales[b * step] = scale;
        const float weighted = float(reduce_add(sums)) * scale;
        __builtin_memcpy(&starts[b * step], &weighted, sizeof weighted);
      } else {
        scales[b * step] = scale;
        starts[b * step] = Start::of_block(reduce_add(sums));
      }
    }
  }
}

/// Of rows whose codes are kept as Start says.
template <class Start, bool per_block>
std::size_t workspace_bytes(std::size_t m, std::size_t, std::size_t k, std::size_t) {
  return m * row_layout(padded<Start>(k), per_block, Start::kCodeBytes, Start::kUnit).stride;
}

}  // namespace
}  // namespace qb::matmul
