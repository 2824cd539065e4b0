// SPDX-License-Identifier: Apache-2.0
// Matmul with f32 and with bf16 activations, AVX2: what is bf16 is held as the f32 it stands for.
//
//   FMA 2 a cycle; 12 accumulators of a 6x16 tile hide its latency of 4 to 5, and the tile's
//   8 loads for 12 FMAs fit two load ports
//   f16 VCVTPH2PS, s8 VPMOVSXBD + VCVTDQ2PS, s4 VPSRAD + VCVTDQ2PS or VPAND + VPXOR + VSUBPS for
//   8 weights: shifts, conversions and additions have the same two ports on Zen, so that half of
//   the codes go another way
#pragma once

#include <immintrin.h>

#include "core/budgets.h"
#include "matmul/a32/panels.h"

#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2"
#endif

namespace qb::matmul {
namespace {

struct Avx2 {
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
  /// Sign and exponent.
  static V power(V v) {
    return _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(int(0xff800000u))));
  }
  /// Nearest, ties to even, for what is not NaN.
  static V round_bf16(V v) {
    const __m256i bits = _mm256_castps_si256(v), one = _mm256_set1_epi32(1);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), one);
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    return _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32(int(0xffff0000u))));
  }
  static void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

  static void prefetch_l2(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

  template <int R>
  static inline __attribute__((always_inline)) void step(V (&acc)[R][2], V b0, V b1,
                                                         const float* x) {
    Unroll<R>::run([&](auto r) {
      const V xr = set1(x + r.value);
      acc[r.value][0] = fma(xr, b0, acc[r.value][0]);
      acc[r.value][1] = fma(xr, b1, acc[r.value][1]);
    });
  }

  static void widen(const f16* x, size_t n, float* y) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) store(y + i, load_half(x + i));
    for (; i < n; ++i) y[i] = _cvtsh_ss(static_cast<unsigned short>(x[i]));
  }
  static void narrow(const float* x, size_t n, f16* y) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(y + i),
                       _mm256_cvtps_ph(load(x + i), _MM_FROUND_TO_NEAREST_INT));
    for (; i < n; ++i)  // not _cvtss_sh: clang's is a macro that warns
      y[i] = f16(static_cast<unsigned short>(
          _mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(x[i]), _MM_FROUND_TO_NEAREST_INT))));
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
struct Decoder<Float32> {
  using Code = float;
  static constexpr size_t kBits = 32;
  template <int i, int half>
  static __m256 get(const Byte* p) {
    return Avx2::load_bytes(p + (i * 2 + half) * 32);
  }
};

template <>
struct Decoder<Float16> {
  using Code = f16;
  static constexpr size_t kBits = 16;
  template <int i, int half>
  static __m256 get(const Byte* p) {
    return Avx2::load_half(p + (i * 2 + half) * 16);
  }
};

template <>
struct Decoder<BFloat16> {
  using Code = bf16;
  static constexpr size_t kBits = 16;
  template <int i, int half>
  static __m256 get(const Byte* p) {
    return Avx2::load_bf16(p + (i * 2 + half) * 16);
  }
};

template <>
struct Decoder<Bytes> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 8;
  template <int i, int half>
  static __m256 get(const Byte* p) {
    const __m128i q = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + (i * 2 + half) * 8));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q));
  }
};

template <>
struct Decoder<Nibbles> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  static constexpr size_t kSlack = 1;
  template <int i, int half>
  static __m256 get(const Byte* p) {
    // Loads that start some bytes earlier or later bring every code to one of two places in its
    // lane; at both ends of a panel something stands that is at least as long as what they read
    // too much.
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

template <const std::int8_t (&values)[16]>
struct Decoder<Table<values>> {
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
