// SPDX-License-Identifier: Apache-2.0
// AVX-512's vectors for the products with f32 sums. A bf16 number is held as the f32 it stands for.
//
// Many rows: a tile is 12 rows x 32 outputs, whose sums take 24 of 32 registers. A k is 24 FMAs, 12
// cycles on two ports; llvm-mca says 13.1 (for skylake-avx512, since its models of later cores give
// a zmm FMA one port). Up to 12 rows decode beside the FMAs. A Zen 4's limit is one zmm FMA a
// cycle.
//
// One row of 8 or of 4 bits is bound by instructions in any cache of a Zen 4: a zmm instruction
// fills one of its four pipes for two cycles. 8 bits: a blend, a subtraction and the FMA make 1.5
// cycles for 16 weights. 4 bits: FMA and permutation share three pipes, 1.33 cycles, and every
// other code is shifted. f32 waits for memory.
#pragma once

#include <immintrin.h>

#include "core/budgets.h"
#include "matmul/a32/panels.h"

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__AVX512DQ__)
#error "compile with the flags of cmake/Isa.cmake for avx512"
#endif

namespace qb::matmul {
namespace {

struct Avx512 : Vectors<Avx512> {
  using V = __m512;
  static constexpr size_t kLanes = 16;
  static constexpr size_t kRows = 12;
  static constexpr size_t kDepth = 128;
  static constexpr int kMostFew = 12;
  static constexpr size_t kStaysInL2 = Avx512Budget::kActivationsInL2;
  /// Sixteen accumulators of whatever shape: memory and decoding bind few rows.
  template <class C>
  static constexpr Few few(int rows) {
    if (rows == 1) return C::kRounds || C::kMinimum ? Few{2, 2} : Few{4, 1};
    return rows <= 3 ? Few{2, 1} : Few{1, 1};
  }

  static V zero() { return _mm512_setzero_ps(); }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static V load_bytes(const void* p) { return _mm512_loadu_ps(p); }
  static V load_half(const void* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }
  static V load_bf16(const void* p) {
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static V load_s8(const void* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  /// The first n lanes, at most all.
  static void store_first(float* p, size_t n, V v) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
  }
  /// vpbroadcastd: of an integer a load is all that Zen 4 needs, of a float it shuffles as well.
  static V set1(const float* p) {
    std::int32_t bits;
    __builtin_memcpy(&bits, p, sizeof bits);
    return _mm512_castsi512_ps(_mm512_set1_epi32(bits));
  }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V nfma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V all(float x) { return _mm512_set1_ps(x); }
  /// Nearest, ties to even, for what is not NaN.
  static V round_bf16(V v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    __m512i up = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    up = _mm512_mask_add_epi32(up, odd, bits, _mm512_set1_epi32(0x8000));
    return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32(int(0xffff0000u))));
  }
  static void widen(const f16* x, size_t n, float* y) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) store(y + i, load_half(x + i));
    if (i < n) {
      const auto rest = static_cast<__mmask16>((1u << (n - i)) - 1);
      _mm512_mask_storeu_ps(y + i, rest, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(rest, x + i)));
    }
  }
  static void narrow(const float* x, size_t n, f16* y) {
    for (size_t i = 0; i < n; i += 16) {
      const auto some = static_cast<__mmask16>(n - i < 16 ? (1u << (n - i)) - 1 : 0xffffu);
      const __m512 v = _mm512_maskz_loadu_ps(some, x + i);
      _mm256_mask_storeu_epi16(y + i, some, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
    }
  }
};

/// 64 bytes that several k's share. The asm keeps gcc from loading them anew for each k: loads that
/// straddle two cache lines bind the load ports.
inline __m512i load_once(const Byte* p) {
  __m512i q = _mm512_loadu_si512(p);
  asm("" : "+v"(q));
  return q;
}

// get<i, half>: k i of a step, in the panel's first or second vector of outputs.

template <>
struct Decoder<Avx512, Bytes> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 8;
  static constexpr bool kUnsignedBytes = true;
  static constexpr size_t kSlack = 2;
  template <int i, int half>
  static __m512 get(const Byte* p) {
    // Which port blends does not matter, so it and the subtraction fit better beside the FMA than
    // widening (a shuffle) and converting do. The byte becomes the last bits, or the second to
    // last, of a float whose last place there is 1; what stands in front of it is then taken off,
    // which is exact.
    constexpr bool second = i % 2;
    constexpr float front = second ? 0x1p15f : 0x1p23f;
    const __m512i q = load_once(p + i / 4 * 128 + half * 64 + i % 4 / 2 * 2);
    const __m512i in_front =
        _mm512_mask_blend_epi8(second ? 0x2222222222222222u : 0x1111111111111111u,
                               _mm512_castps_si512(_mm512_set1_ps(front)), q);
    return _mm512_sub_ps(_mm512_castsi512_ps(in_front), _mm512_set1_ps(front + 128));
  }
};

template <>
struct Decoder<Avx512, Nibbles> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  static constexpr size_t kSlack = 3;
  template <int i, int half>
  static __m512 get(const Byte* p) {
    // A permutation of the sixteen values, which looks at four bits of its index. Shifts have one
    // port: a load that starts i/2 bytes later spares the even k's theirs.
    const __m512 values = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
    __m512i q = load_once(p + half * 64 + i / 2);
    if constexpr (i % 2) q = _mm512_srli_epi32(q, 4);
    return _mm512_permutexvar_ps(q, values);
  }
};

template <const std::int8_t (&values)[16]>
struct Decoder<Avx512, Table<values>> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  static constexpr size_t kSlack = 3;
  template <int i, int half>
  static __m512 get(const Byte* p) {
    // As of integers: those are a table, too.
    __m512i q = load_once(p + half * 64 + i / 2);
    if constexpr (i % 2) q = _mm512_srli_epi32(q, 4);
    return _mm512_permutexvar_ps(q, _mm512_load_ps(Table<values>::kFloats));
  }
};

}  // namespace
}  // namespace qb::matmul
