// SPDX-License-Identifier: Apache-2.0
// What the AVX-512 variants that pack rows of weights share: canonical rows read as vectors, codes
// as bytes and floats as bf16.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include "core/unroll.h"
#include "matmul/source.h"

namespace qb::matmul {
namespace {

using std::size_t;
using Byte = std::uint8_t;  // std::byte's operators are functions, which would be shared weakly

constexpr size_t least(size_t a, size_t b) { return a < b ? a : b; }
[[maybe_unused]] constexpr size_t quotient_up(size_t a, size_t b) { return (a + b - 1) / b; }

inline __m512i load(const void* p) { return _mm512_loadu_si512(p); }
inline void store(void* p, __m512i v) { _mm512_storeu_si512(p, v); }

constexpr std::uint64_t first(size_t count) {
  return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

/// Codes [k, k+count) of output n, a byte each, those of 4 bits as 0 to 15; then zeros, of 4 bits
/// what stands for them. k: a multiple of 32; count: 64 at most, 32 for the block formats.
template <class F>
inline __m512i codes_of(const Weights& w, size_t n, size_t k, size_t count) {
  const __m512i zero = _mm512_set1_epi8(F::Codes::bits == 4 ? 8 : 0);
  if (n >= w.n || k >= w.k) return zero;
  count = least(count, w.k - k);
  [[maybe_unused]] BlockCodes<F> room;
  const Byte* const from = block_codes<F>(w, n, k / kBlock, room);
  if constexpr (F::Codes::bits == 8) {
    return _mm512_maskz_loadu_epi8(first(count), from);
  } else if constexpr (F::neighbours) {
    const __m512i pairs = _mm512_cvtepu8_epi16(
        _mm256_maskz_loadu_epi8(static_cast<__mmask32>(first((count + 1) / 2)), from));
    const __m512i nibbles =
        _mm512_and_si512(_mm512_or_si512(pairs, _mm512_slli_epi16(pairs, 4)), _mm512_set1_epi8(15));
    return _mm512_mask_mov_epi8(zero, first(count),
                                _mm512_xor_si512(nibbles, _mm512_set1_epi8(F::flip)));
  } else {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    const __m128i nibble = _mm_set1_epi8(15);
    const __m256i both = _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(bytes, 4), nibble),
                                          _mm_and_si128(bytes, nibble));
    return _mm512_inserti64x4(zero, both, 0);
  }
}

/// 16 scales of groups.
template <class Scale>
inline __m512 group_scales(const void* p) {
  if constexpr (sizeof(Scale) == sizeof(float)) return _mm512_loadu_ps(p);
  const __m256i v = _mm256_loadu_si256(static_cast<const __m256i*>(p));
  if constexpr (__is_same(Scale, bf16))
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16));
  else
    return _mm512_cvtph_ps(v);
}

/// Indices of one of two tables of 16 that a register holds: words' low four bits, and 16 more in
/// the upper 16 words.
[[maybe_unused]] inline __m512i index_of_halves(__m512i v) {
  const __m512i upper = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(16), 1);
  return _mm512_ternarylogic_epi32(v, _mm512_set1_epi16(15), upper, 0xea);  // (v & 15) | upper
}

// --- bf16 --------------------------------------------------------------------------------------

/// 32 values to bf16, subnormals to zero.
[[maybe_unused]] inline __m512i rounded(__m512 low, __m512 high) {
  return __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(high, low));
}

[[maybe_unused]] inline __m512 load_some(const float* p, std::uint64_t mask) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p);
}

/// Exactly rounded, subnormals too: what unpacking has to give back.
[[maybe_unused]] inline __m256i exactly_rounded(__m512 v) {
  const __m512i b = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(b, 16), _mm512_set1_epi32(1));
  const __m512i up = _mm512_add_epi32(_mm512_add_epi32(b, _mm512_set1_epi32(0x7fff)), odd);
  const __m512i quiet = _mm512_or_si512(b, _mm512_set1_epi32(0x400000));
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(up, nan, quiet), 16));
}

/// f32 weights [k, k+32) of output n, exactly rounded; zeros where nothing is.
[[maybe_unused]] inline __m512i bf16_of(const Weights& w, size_t n, size_t k) {
  const std::uint64_t mask = n < w.n ? first(w.k - k) : 0;
  const float* const from = static_cast<const float*>(w.values) + (mask ? n * w.k + k : 0);
  return _mm512_inserti64x4(_mm512_castsi256_si512(exactly_rounded(load_some(from, mask))),
                            exactly_rounded(load_some(from + 16, mask >> 16)), 1);
}

}  // namespace
}  // namespace qb::matmul
