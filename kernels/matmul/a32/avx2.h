// SPDX-License-Identifier: Apache-2.0
// AVX2's vectors for the products with f32 sums. A bf16 number is held as the f32 it stands for.
//
// Many rows: a tile is 6 rows x 16 outputs. Two FMAs start in a cycle and take 4 or 5, which its 12
// sums hide; its 8 loads for 12 FMAs fit two load ports.
//
// Decoding 8 weights: f16 by VCVTPH2PS, int8 by VPMOVSXBD and VCVTDQ2PS. On Zen shifts, conversions
// and additions share two ports. So the 4-bit integers of odd k take VPSRAD and VCVTDQ2PS, those of
// even k VPAND, VPXOR and VSUBPS.
#pragma once

#include <immintrin.h>

#include "core/budgets.h"
#include "matmul/a32/panels.h"

#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2"
#endif

namespace qb::matmul {
namespace {

struct Avx2 : Vectors<Avx2> {
  using V = __m256;
  static constexpr size_t kLanes = 8;
  static constexpr size_t kRows = 6;
  static constexpr size_t kDepth = 256;
  static constexpr int kMostFew = 5;  // six rows leave too few registers to decode in
  static constexpr size_t kStaysInL2 = Avx2Budget::kActivationsInL2;
  template <class C>
  static constexpr Few few(int rows) {
    // Three registers hold what 4-bit codes are decoded with.
    if (C::kBits == 4 && !C::kRounds && rows == 1) return Few{1, 3};
    return few_in_16<C>(rows);
  }

  static V zero() { return _mm256_setzero_ps(); }
  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static V load_bytes(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
  static V load_half(const void* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static V load_bf16(const void* p) {
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static V load_s8(const void* p) {
    const __m128i q = _mm_loadl_epi64(static_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
  }
  static void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  /// vpbroadcastd: of an integer a load is all that Zen 4 needs, of a float it shuffles as well.
  static V set1(const float* p) {
    std::int32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return _mm256_castsi256_ps(_mm256_set1_epi32(bits));
  }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V nfma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
  static V all(float x) { return _mm256_set1_ps(x); }
  static void store_half(f16* p, V v) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
  }
};

/// 32 bytes that several k's share, loaded once.
inline __m256i load_once(const Byte* p) {
  __m256i q = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  asm("" : "+x"(q));
  return q;
}

// get<i, half>: k i of a step, in the panel's first or second vector of outputs.

template <>
struct Decoder<Avx2, Nibbles> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  static constexpr size_t kSlack = 1;
  template <int i, int half>
  static __m256 get(const Byte* p) {
    // A load that starts some bytes earlier or later brings the code to one of two places in its
    // lane. It reads up to 3 bytes of the header before the codes, or one behind them (kSlack).
    if constexpr (i % 2) {  // the highest bits: a shift brings the sign down
      const __m256i q = load_once(p + half * 32 - (7 - i) / 2);
      return _mm256_cvtepi32_ps(_mm256_srai_epi32(q, 28));
    } else {  // bits 16 to 19: under the exponent of 128 they are code + 8, their first bit turned
      const __m256i q = load_once(p + half * 32 - (4 - i) / 2);
      const __m256i code = _mm256_and_si256(q, _mm256_set1_epi32(0xf0000));
      const __m256i front = _mm256_castps_si256(_mm256_set1_ps(128 + 8));
      return _mm256_sub_ps(_mm256_castsi256_ps(_mm256_xor_si256(code, front)),
                           _mm256_set1_ps(128 + 8));
    }
  }
};

template <>
struct Decoder<Avx2, UnsignedNibbles> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  static constexpr size_t kSlack = 3;
  template <int i, int half>
  static __m256 get(const Byte* p) {
    // A load that starts some bytes later brings the code of an even k into the lowest bits of its
    // lane, one that starts earlier that of an odd k into the highest.
    if constexpr (i % 2) {
      const __m256i q = load_once(p + half * 32 - (7 - i) / 2);
      return _mm256_cvtepi32_ps(_mm256_srli_epi32(q, 28));
    } else {
      const __m256i q = load_once(p + half * 32 + i / 2);
      return _mm256_cvtepi32_ps(_mm256_and_si256(q, _mm256_set1_epi32(15)));
    }
  }
};

template <const std::int8_t (&values)[16]>
struct Decoder<Avx2, Table<values>> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  template <int i, int half>
  static __m256 get(const Byte* p) {
    // A load that starts up to three bytes earlier brings the code into the highest byte of its
    // lane. A shuffle puts its value there, and a shift brings the value down.
    const __m256i table = _mm256_broadcastsi128_si256(
        _mm_load_si128(reinterpret_cast<const __m128i*>(Table<values>::kValues)));
    const __m256i q = load_once(p + half * 32 - (3 - i / 2));
    const __m256i index =
        i % 2 ? _mm256_srli_epi32(q, 4) : _mm256_and_si256(q, _mm256_set1_epi32(0xf000000));
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_shuffle_epi8(table, index), 24));
  }
};

}  // namespace
}  // namespace qb::matmul
