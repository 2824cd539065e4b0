// SPDX-License-Identifier: Apache-2.0
// What the portable kernels of 8-bit codes share (s8_xsimd.cc, q8_0_xsimd.cc). xsimd has no name
// for narrowing and widening: one instruction does it where it is known, memory elsewhere.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/scalar_half.h"
#include "core/xsimd_lanes.h"

namespace qb::quantize {
namespace {

using F = batch<float>;
using I = batch<std::int32_t>;
using U = batch<std::uint32_t>;
constexpr std::size_t kLanes = F::size;
constexpr std::size_t kStep = 4 * kLanes;  ///< codes of four vectors
constexpr float kMost = 0x1.fffffep127f;

inline U bits_of(const F& v) { return bitwise<std::uint32_t>(v); }
inline F floats(const U& v) { return bitwise<float>(v); }

// ---- narrowing and widening

/// The codes of a, b, c and d, each in [-128, 127], in order.
inline void store_codes(std::int8_t* q, const I& a, const I& b, const I& c, const I& d) {
#if defined(QB_XSIMD_avx2)
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  _mm256_storeu_si256(
      reinterpret_cast<__m256i*>(q),
      _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
#elif defined(QB_XSIMD_sse4_2)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(q),
                   _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d)));
#elif defined(QB_XSIMD_neon)
  const int16x8_t low = vcombine_s16(vqmovn_s32(a), vqmovn_s32(b));
  const int16x8_t high = vcombine_s16(vqmovn_s32(c), vqmovn_s32(d));
  vst1q_s8(q, vcombine_s8(vqmovn_s16(low), vqmovn_s16(high)));
#else
  alignas(64) std::int32_t words[kStep];
  a.store_aligned(words), b.store_aligned(words + kLanes);
  c.store_aligned(words + 2 * kLanes), d.store_aligned(words + 3 * kLanes);
  for (std::size_t j = 0; j < kStep; ++j) q[j] = std::int8_t(words[j]);
#endif
}

/// One vector's codes as floats.
inline F widened(const std::int8_t* q) {
#if defined(QB_XSIMD_avx2)
  const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(q));
  return xsimd::to_float(I(_mm256_cvtepi8_epi32(codes)));
#elif defined(QB_XSIMD_sse4_2)
  std::int32_t codes;
  __builtin_memcpy(&codes, q, sizeof codes);
  return xsimd::to_float(I(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(codes))));
#elif defined(QB_XSIMD_neon)
  std::int32_t codes;
  __builtin_memcpy(&codes, q, sizeof codes);
  const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(codes));
  return xsimd::to_float(I(vmovl_s16(vget_low_s16(vmovl_s8(bytes)))));
#else
  alignas(64) float values[kLanes];
  for (std::size_t j = 0; j < kLanes; ++j) values[j] = float(q[j]);
  return F::load_aligned(values);
#endif
}

/// One vector's halves as integers.
inline U widened(const f16* x) {
#if defined(QB_XSIMD_avx2)
  return U(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x))));
#elif defined(QB_XSIMD_sse4_2)
  return U(_mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x))));
#elif defined(QB_XSIMD_neon)
  return U(vmovl_u16(vreinterpret_u16_u8(vld1_u8(reinterpret_cast<const std::uint8_t*>(x)))));
#else
  alignas(64) std::uint32_t words[kLanes];
  for (std::size_t j = 0; j < kLanes; ++j) words[j] = std::uint16_t(x[j]);
  return U::load_aligned(words);
#endif
}

inline F load(const float* x) { return F::load_unaligned(x); }

/// Finite halves as floats.
inline F load(const f16* x) {
  const U h = widened(x), m = h & U(0x7fffu), shifted = m << 13;
  const F subnormal = floats(shifted + U(0x38800000u)) - F(0x1p-14f);
  const F normal = floats(shifted + U(0x38000000u));
  const F magnitude = xsimd::select(normal < F(0x1p-14f), subnormal, normal);
  return floats(bits_of(magnitude) | ((h & U(0x8000u)) << 16));
}

inline void store(float* y, const F& v) { v.store_unaligned(y); }

/// Rounds to f16: nearest, ties to even, overflow to infinity. Not for NaN.
inline void store(f16* y, const F& v) {
  const U b = bits_of(v), a = b & U(0x7fffffffu);
  const U normal = (a - U(0x38000000u) + U(0xfffu) + ((a >> 13) & U(1u))) >> 13;
  const U subnormal = bits_of(floats(a) + F(0.5f)) - U(0x3f000000u);
  const F size = floats(a);
  // The bits are small non-negative integers, so they compare as floats do.
  const F chosen = xsimd::select(size < F(0x1p-14f), floats(subnormal), floats(normal));
  const F magnitude = xsimd::select(size < F(65520.0f), chosen, floats(U(0x7c00u)));
  const U half = bits_of(magnitude) | ((b >> 16) & U(0x8000u));
#if defined(QB_XSIMD_avx2)
  const __m256i packed = _mm256_packus_epi32(half, half);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(y),
                   _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
#elif defined(QB_XSIMD_sse4_2)
  _mm_storel_epi64(reinterpret_cast<__m128i*>(y), _mm_packus_epi32(half, half));
#elif defined(QB_XSIMD_neon)
  vst1_u8(reinterpret_cast<std::uint8_t*>(y), vreinterpret_u8_u16(vmovn_u32(half)));
#else
  alignas(64) std::uint32_t words[kLanes];
  half.store_aligned(words);
  for (std::size_t j = 0; j < kLanes; ++j) y[j] = f16(std::uint16_t(words[j]));
#endif
}

inline float load1(const float* x) { return *x; }
inline float load1(const f16* x) { return f16_to_f32(*x); }
inline void store1(float* y, float v) { *y = v; }
inline void store1(f16* y, float v) { *y = f32_to_f16(v); }

// ---- absmax

/// Integer maximum over the bits with the sign cleared, NaN above all.
template <class Word>
inline Word largest_magnitude(const void* data, std::size_t len) {
  using B = batch<Word>;
  constexpr std::size_t lanes = B::size;
  constexpr Word keep = Word(~Word{0}) >> 1;
  const auto* x = static_cast<const Word*>(data);
  const B mask(keep);
  B a[8];
  for (auto& v : a) v = B(Word{0});
  std::size_t j = 0;
  for (; j + 8 * lanes <= len; j += 8 * lanes)
    for (std::size_t i = 0; i < 8; ++i)
      a[i] = xsimd::max(a[i], B::load_unaligned(x + j + i * lanes) & mask);
  for (; j + lanes <= len; j += lanes) a[0] = xsimd::max(a[0], B::load_unaligned(x + j) & mask);
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = xsimd::max(a[i], a[i + step]);
  Word largest = reduce_max(a[0]);
  for (; j < len; ++j) {
    Word m;
    __builtin_memcpy(&m, x + j, sizeof m);
    m &= keep;
    largest = m > largest ? m : largest;
  }
  return largest;
}

inline float absmax(const float* x, std::size_t len) {
  return float_of(largest_magnitude<std::uint32_t>(x, len));
}
inline float absmax(const f16* x, std::size_t len) {
  return f16_to_f32(f16(largest_magnitude<std::uint16_t>(x, len)));
}

// ---- rounding to integers, |v| < 2^22: a sum with 1.5 * 2^23 has no fraction bits left

constexpr float kMagic = 0x1.8p23f;

struct HalfToEven {
  static I round(const F& v) {
    return bitwise<std::int32_t>(v + F(kMagic)) - bitwise<std::int32_t>(F(kMagic));
  }
  static std::int8_t round(float v) { return std::int8_t(qb::bits_of(v + kMagic)); }
};

/// q8_0's, |v| <= 127.5. Adding the float *below* one half lifts exact halves to the next integer
/// (the sum rounds) and nothing under them; the conversion truncates.
struct HalfAway {
  static I round(const F& v) {
    const U half = (bits_of(v) & U(0x80000000u)) | bits_of(F(0x1.fffffep-2f));
    return xsimd::to_int(v + floats(half));
  }
};

// ---- codes

template <class Rounding, class T>
inline void codes_of_step(const T* x, const F& inv, std::int8_t* q) {
  const auto word = [&](std::size_t i) { return Rounding::round(load(x + i * kLanes) * inv); };
  store_codes(q, word(0), word(1), word(2), word(3));
}

// ---- back

template <class Y>
inline void back(const std::int8_t* q, std::size_t len, float factor, Y* y) {
  const F scale(factor);
  std::size_t j = 0;
  for (; len - j >= kStep; j += kStep)
    for (std::size_t i = 0; i < kStep; i += kLanes) store(y + j + i, widened(q + j + i) * scale);
  for (; j < len; ++j) store1(y + j, float(q[j]) * factor);
}

}  // namespace
}  // namespace qb::quantize
