// SPDX-License-Identifier: Apache-2.0
// Activations of the products by vpdpbusd, quantized with AVX-512: rows with one scale, or with one
// for each block of 32.
//
// Blocks are quantized 16 at a time, their maxima and sums turned across the registers rather than
// folded one by one, which takes a Zen 4 less than half the time that AVX2's way does.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "core/avx512.h"
#include "matmul/a8/activations_x86.h"

namespace qb::matmul {
namespace {

using std::size_t;
using Byte = std::uint8_t;

/// Sums of 16 blocks' codes, two blocks to a vector of eighths; in the order 0 2 4 6, 1 3 5 7,
/// 8 10 12 14, 9 11 13 15.
inline __m512i sums_of(__m512i (&v)[8]) {
  QB_UNROLL for (int i = 0; i < 8; i += 2) v[i] = _mm512_add_epi32(
      _mm512_unpacklo_epi32(v[i], v[i + 1]), _mm512_unpackhi_epi32(v[i], v[i + 1]));
  QB_UNROLL for (int i = 0; i < 8; i += 4) v[i] = _mm512_add_epi32(
      _mm512_unpacklo_epi64(v[i], v[i + 2]), _mm512_unpackhi_epi64(v[i], v[i + 2]));
  return _mm512_add_epi32(_mm512_shuffle_i32x4(v[0], v[4], 0x88),
                          _mm512_shuffle_i32x4(v[0], v[4], 0xdd));
}

/// Adds 64 codes, four to a lane.
inline __m512i add_codes(__m512i sum, __m512i codes) {
  return _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), codes);
}

inline void store_codes(Byte* to, size_t count, __m512i codes) {
  if (count >= 64)
    _mm512_storeu_si512(to, codes);
  else
    _mm512_mask_storeu_epi8(to, (1ull << count) - 1, codes);
}

template <class K>
void quantize_rows(const void* x, size_t, size_t k, size_t, size_t m0, size_t m1, void* workspace) {
  const RowLayout layout = row_layout(padded<K>(k), false);
  for (size_t m = m0; m < m1; ++m) {
    const float* const row = static_cast<const float*>(x) + m * k;
    Byte* const out = static_cast<Byte*>(workspace) + m * layout.stride;
    __m512 v[4], largest[4];
    for (__m512& l : largest) l = _mm512_setzero_ps();
    for (size_t i = 0; i < k; i += 64) {
      load64(row + i, k - i, v);
      QB_UNROLL for (int j = 0; j < 4; ++j) largest[j] = larger(largest[j], v[j]);
    }
    const Scaling scaling = row_scaling(_mm512_reduce_max_ps(
        larger(larger(largest[0], largest[1]), larger(largest[2], largest[3]))));
    const __m512 by = _mm512_set1_ps(scaling.inverse);
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < k; i += 64) {
      load64(row + i, k - i, v);
      __m512i q[4];
      QB_UNROLL for (int j = 0; j < 4; ++j) q[j] = _mm512_cvtps_epi32(_mm512_mul_ps(v[j], by));
      const __m512i codes = narrow64(q[0], q[1], q[2], q[3]);
      store_codes(out + i, layout.scales - i, codes);
      sum = add_codes(sum, codes);
    }
    const std::int32_t start = K::of_row(_mm512_reduce_add_epi32(sum));
    __builtin_memcpy(out + layout.scales, &scaling.scale, sizeof scaling.scale);
    __builtin_memcpy(out + layout.sums, &start, sizeof start);
  }
}

/// The scales of 16 blocks, as f16 keeps them, and what their activations are multiplied with.
struct BlockScales {
  __m512 scale;
  alignas(64) float inverse[16];
};

/// Those of `count` blocks, 1 to 16, with one division for all of them. Blocks that are not there
/// are the last one again.
inline BlockScales scales_of_blocks(const float* from, size_t count) {
  __m512 v[16];
  QB_UNROLL for (size_t i = 0; i < 16; ++i) {
    const float* const block = from + least(i, count - 1) * kBlock;
    v[i] = larger(_mm512_loadu_ps(block), _mm512_loadu_ps(block + 16));
  }
  const __m512 scale = _mm512_div_ps(reduce16(v, larger), _mm512_set1_ps(127.0f));
  const __m512 quotient = _mm512_div_ps(_mm512_set1_ps(1.0f), scale);
  const __mmask16 finite = _mm512_cmp_ps_mask(quotient, _mm512_set1_ps(kLargestFloat), _CMP_LE_OQ);
  BlockScales scales;
  _mm512_store_ps(scales.inverse, _mm512_maskz_mov_ps(finite, quotient));
  scales.scale = _mm512_cvtph_ps(
      _mm512_cvtps_ph(_mm512_maskz_mov_ps(finite, scale), _MM_FROUND_TO_NEAREST_INT));
  return scales;
}

/// Stores the codes of `count` blocks and returns the blocks' sums, in the order of sums_of().
inline __m512i put_codes(const float* from, size_t count, const float (&inverse)[16], Byte* to) {
  __m512i sum[8];
  QB_UNROLL for (size_t i = 0; i < 16; i += 2) {
    sum[i / 2] = _mm512_setzero_si512();
    if (i >= count) continue;
    __m512 pair[4];
    load64(from + i * kBlock, (count - i) * kBlock, pair);
    __m512i q[4];
    QB_UNROLL for (size_t j = 0; j < 4; ++j) {
      const __m512 scaled = _mm512_mul_ps(pair[j], _mm512_set1_ps(inverse[i + j / 2]));
      q[j] = HalfAway::round(scaled);  // as rounded<true>() has it
    }
    const __m512i codes = narrow64(q[0], q[1], q[2], q[3]);
    store_codes(to + i * kBlock, (count - i) * kBlock, codes);
    sum[i / 2] = add_codes(sum[i / 2], codes);
  }
  return sums_of(sum);
}

/// What the products of 16 blocks begin with, from the blocks' sums; in the order of sums_of().
template <class K>
inline __m512i starts_of(__m512i sums, __m512 scale) {
  if constexpr (K::kMinimum) {
    const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
    const __m512 in_order = _mm512_permutexvar_ps(order, scale);
    return _mm512_castps_si512(_mm512_mul_ps(_mm512_cvtepi32_ps(sums), in_order));
  } else {
    // log2 of what codes are raised by, of integers of 4 bits in a pair's second block sixteenfold.
    constexpr int even = K::kRaise, odd = K::kNibbles ? 7 : even;
    const __m512i raised = _mm512_setr_epi32(even, even, even, even, odd, odd, odd, odd, even, even,
                                             even, even, odd, odd, odd, odd);
    return _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_sllv_epi32(sums, raised));
  }
}

/// Stores `count` scales, each with what its block's products begin with behind it.
inline void put_scales(__m512 scale, __m512i start, size_t count, Byte* to) {
  const __m512i low_pairs =
      _mm512_setr_epi32(0, 16, 1, 20, 2, 17, 3, 21, 4, 18, 5, 22, 6, 19, 7, 23);
  const __m512i high_pairs =
      _mm512_setr_epi32(8, 24, 9, 28, 10, 25, 11, 29, 12, 26, 13, 30, 14, 27, 15, 31);
  const auto there = static_cast<std::uint32_t>((std::uint64_t{1} << 2 * count) - 1);
  std::int32_t* const pairs = reinterpret_cast<std::int32_t*>(to);
  _mm512_mask_storeu_epi32(pairs, static_cast<__mmask16>(there),
                           _mm512_permutex2var_epi32(_mm512_castps_si512(scale), low_pairs, start));
  _mm512_mask_storeu_epi32(
      pairs + 16, static_cast<__mmask16>(there >> 16),
      _mm512_permutex2var_epi32(_mm512_castps_si512(scale), high_pairs, start));
}

template <class K>
void quantize_blocks(const void* x, size_t, size_t k, size_t, size_t m0, size_t m1,
                     void* workspace) {
  const RowLayout layout = row_layout(padded<K>(k), true);
  const size_t blocks = k / kBlock;
  const __m512 sixteenths = _mm512_castsi512_ps(_mm512_set1_epi64(0x3d8000003f800000));
  for (size_t m = m0; m < m1; ++m) {
    const float* const row = static_cast<const float*>(x) + m * k;
    Byte* const out = static_cast<Byte*>(workspace) + m * layout.stride;
    if (K::kPairedBlocks && blocks % 2) {
      __builtin_memset(out + k, 0, kBlock);
      __builtin_memset(out + layout.scales + 8 * blocks, 0, 8);
    }
    for (size_t b = 0; b < blocks; b += 16) {
      const float* const from = row + b * kBlock;
      const size_t count = least(blocks - b, 16);
      const BlockScales scales = scales_of_blocks(from, count);
      const __m512i sums = put_codes(from, count, scales.inverse, out + b * kBlock);
      const __m512i start = starts_of<K>(sums, scales.scale);
      put_scales(K::kNibbles ? _mm512_mul_ps(scales.scale, sixteenths) : scales.scale, start, count,
                 out + layout.scales + 8 * b);
    }
  }
}

}  // namespace
}  // namespace qb::matmul
