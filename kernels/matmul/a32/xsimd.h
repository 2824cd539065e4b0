// SPDX-License-Identifier: Apache-2.0
// Matmul with f32 and with bf16 activations (held as the f32 it stands for), portable: the panels
// of panels.h on xsimd's batches. Where xsimd widens lane by lane, or has no halves at all, one
// instruction's intrinsic stands in.
#pragma once

#include "core/budgets.h"
#include "core/xsimd_half.h"
#include "matmul/a32/panels.h"

namespace qb::matmul {
namespace {

struct Portable : Vectors<Portable> {
  using V = batch<float>;
  using I = batch<std::int32_t>;
  using U = batch<std::uint32_t>;
  static constexpr size_t kLanes = V::size;
  static constexpr size_t kRows = 6;
  static constexpr size_t kDepth = 256;
  static constexpr size_t kStaysInL2 = XsimdBudget::kActivationsInL2;
  template <class C>
  static constexpr Few few(int rows) {
    return few_in_16<C>(rows);
  }

  static V zero() { return V(0.0f); }
  static V load(const float* p) { return V::load_unaligned(p); }
  static V load_bytes(const void* p) { return load(static_cast<const float*>(p)); }
  static void store(float* p, V v) { v.store_unaligned(p); }
  static V set1(const float* p) { return V(*p); }
  static V fma(V a, V b, V c) { return xsimd::fma(a, b, c); }
  static V mul(V a, V b) { return a * b; }
  static V add(V a, V b) { return a + b; }
  static V nfma(V a, V b, V c) { return xsimd::fnma(a, b, c); }
  static V all(float x) { return V(x); }
  /// Sign and exponent.
  static V power(V v) { return bitwise<float>(bitwise<std::uint32_t>(v) & U(0xff800000u)); }
  /// Nearest, ties to even, for what is not NaN.
  static V round_bf16(V v) {
    const U bits = bitwise<std::uint32_t>(v);
    return bitwise<float>((bits + U(0x7fffu) + (bits >> 16 & U(1u))) & U(0xffff0000u));
  }
  /// kLanes uint16, widened.
  static U load_u16(const void* p) {
#if defined(__AVX2__)
    return U(_mm256_cvtepu16_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
#elif defined(__SSE4_1__)
    return U(_mm_cvtepu16_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
#else
    std::uint16_t bits[kLanes];
    std::uint32_t wide[kLanes];
    __builtin_memcpy(bits, p, sizeof bits);
    for (size_t i = 0; i < kLanes; ++i) wide[i] = bits[i];
    return U::load_unaligned(wide);
#endif
  }

  static V load_half(const void* p) {
#if defined(__F16C__)
    return V(_mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p))));
#else
    return bitwise<float>(half_to_float(bitwise<std::int32_t>(load_u16(p))));
#endif
  }

  static void narrow(const float* x, size_t n, f16* y) {
    for (size_t i = 0; i < n; ++i) y[i] = f32_to_f16(x[i]);
  }

  static V load_bf16(const void* p) { return bitwise<float>(load_u16(p) << 16); }

  /// kLanes bytes, sign-extended, as floats.
  static V load_s8(const void* p) {
#if defined(__AVX2__)
    return xsimd::to_float(
        I(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)))));
#elif defined(__SSE4_1__)
    std::int32_t four;
    __builtin_memcpy(&four, p, sizeof four);
    return xsimd::to_float(I(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(four))));
#else
    std::int8_t bytes[kLanes];
    std::int32_t wide[kLanes];
    __builtin_memcpy(bytes, p, sizeof bytes);
    for (size_t i = 0; i < kLanes; ++i) wide[i] = bytes[i];
    return xsimd::to_float(I::load_unaligned(wide));
#endif
  }
};

template <>
struct Decoder<Portable, Nibbles> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  template <int i, int half>
  static Portable::V get(const Byte* p) {
    Portable::I q = bitwise<std::int32_t>(Portable::load_bytes(p + half * Portable::kLanes * 4));
    if constexpr (i < 7) q = q << (28 - 4 * i);
    return xsimd::to_float(q >> 28);
  }
};

template <>
struct Decoder<Portable, UnsignedNibbles> {
  using Code = std::int8_t;
  static constexpr size_t kBits = 4;
  template <int i, int half>
  static Portable::V get(const Byte* p) {
    const auto q = bitwise<std::int32_t>(Portable::load_bytes(p + half * Portable::kLanes * 4));
    return xsimd::to_float((q >> (4 * i)) & Portable::I(15));
  }
};

/// Packed as the bytes that they stand for: xsimd 8 looks no bytes up.
template <const std::int8_t (&values)[16]>
struct Decoder<Portable, Table<values>> : Decoder<Portable, Bytes> {};

}  // namespace
}  // namespace qb::matmul
