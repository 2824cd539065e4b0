// SPDX-License-Identifier: Apache-2.0
// What the AVX2 kernels of 8-bit codes share (s8_avx2.cc, q8_0_avx2.cc): the largest magnitude of a
// run, products rounded to integers, 32 codes at a time, and codes back to values.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/avx2.h"
#include "core/turns.h"

namespace qb::quantize {
namespace {

inline bool aligned(const void* p, std::size_t to) {
  return reinterpret_cast<std::uintptr_t>(p) % to == 0;
}

template <bool kStream>
inline void store(void* p, __m256i v) {
  if constexpr (kStream)
    _mm256_stream_si256(static_cast<__m256i*>(p), v);
  else
    _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}

inline __m256 load8(const float* x) { return _mm256_loadu_ps(x); }
inline __m256 load8(const f16* x) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(x)));
}
/// vcvtps2ph of one value. clang's _cvtss_sh is a macro that warns.
inline std::uint16_t narrowed(float v) {
  return std::uint16_t(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(v), _MM_FROUND_TO_NEAREST_INT)));
}

// ---- absmax, on the bits with the sign cleared: NaN is the largest and needs no care

inline __m256i magnitude32(const float* x) {
  return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x)), _mm256_set1_epi32(0x7fffffff));
}
inline __m256i magnitude16(const f16* x) {
  return _mm256_and_si256(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)),
                          _mm256_set1_epi16(0x7fff));
}

[[maybe_unused, gnu::noinline]] float absmax(const float* x, std::size_t len) {
  std::uint32_t largest = 0;
  if (len >= 8) {
    __m256i a[8];
    for (auto& v : a) v = _mm256_setzero_si256();
    std::size_t j = 0;
    if (len * sizeof *x >= kStreamBytes) {
      const FarMaxima far = far_maxima(x, len);
      a[0] = far.most, j = far.done;
    }
    for (; j + 64 <= len; j += 64)
      for (std::size_t i = 0; i < 8; ++i) a[i] = _mm256_max_epu32(a[i], magnitude32(x + j + 8 * i));
    for (; j + 8 <= len; j += 8) a[0] = _mm256_max_epu32(a[0], magnitude32(x + j));
    a[1] = _mm256_max_epu32(a[1], magnitude32(x + len - 8));  // the tail, some of it again
    for (std::size_t step = 4; step; step /= 2)
      for (std::size_t i = 0; i < step; ++i) a[i] = _mm256_max_epu32(a[i], a[i + step]);
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(a[0]), _mm256_extracti128_si256(a[0], 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    largest = std::uint32_t(_mm_cvtsi128_si32(m));
  } else {
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint32_t m = __builtin_bit_cast(std::uint32_t, x[j]) & 0x7fffffffu;
      largest = m > largest ? m : largest;
    }
  }
  return __builtin_bit_cast(float, largest);
}

[[maybe_unused, gnu::noinline]] float absmax(const f16* x, std::size_t len) {
  std::uint16_t largest = 0;
  if (len >= 16) {
    __m256i a[8];
    for (auto& v : a) v = _mm256_setzero_si256();
    std::size_t j = 0;
    if (len * sizeof *x >= kStreamBytes) {
      const FarMaxima far = far_maxima(x, len);
      a[0] = far.most, j = far.done;
    }
    for (; j + 128 <= len; j += 128)
      for (std::size_t i = 0; i < 8; ++i)
        a[i] = _mm256_max_epu16(a[i], magnitude16(x + j + 16 * i));
    for (; j + 16 <= len; j += 16) a[0] = _mm256_max_epu16(a[0], magnitude16(x + j));
    a[1] = _mm256_max_epu16(a[1], magnitude16(x + len - 16));
    for (std::size_t step = 4; step; step /= 2)
      for (std::size_t i = 0; i < step; ++i) a[i] = _mm256_max_epu16(a[i], a[i + step]);
    const __m128i m =
        _mm_max_epu16(_mm256_castsi256_si128(a[0]), _mm256_extracti128_si256(a[0], 1));
    // vphminposuw is the only horizontal word reduction: a minimum, so complement.
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi16(-1)));
    largest = std::uint16_t(~_mm_cvtsi128_si32(least));
  } else {
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint16_t m = static_cast<std::uint16_t>(x[j]) & 0x7fffu;
      largest = m > largest ? m : largest;
    }
  }
  return _cvtsh_ss(largest);
}

// ---- products rounded to integers

struct HalfToEven {
  static __m256i code(__m256 x, __m256 inv) { return _mm256_cvtps_epi32(_mm256_mul_ps(x, inv)); }
  static int code(float x, float inv) { return _mm_cvtss_si32(_mm_set_ss(x * inv)); }
};

/// The notebook's, of f16 values: to f16 first. The product has 22 bits at most and is exact, 2^13
/// times as large too. Their sum keeps the product's 11 leading bits, ties to even, for the large
/// one's last bits are zeros. (If the sum carries into the next power of two it keeps ten; what is
/// lost rounds to that power either way.) Below f16's normal numbers that is more than f16 keeps,
/// and the code 0 either way.
struct ThroughF16 {
  static __m256i code(__m256 x, __m256 inv) {
    const __m256 large = _mm256_mul_ps(x, _mm256_mul_ps(inv, _mm256_set1_ps(0x1p13f)));
    return _mm256_cvtps_epi32(_mm256_sub_ps(_mm256_fmadd_ps(x, inv, large), large));
  }
  static int code(float x, float inv) {
    return HalfToEven::code(_cvtsh_ss(narrowed(x * inv)), 1.0f);
  }
};

/// q8_0's, |v| <= 127.5. Adding the float *below* one half lifts exact halves to the next integer
/// (the sum rounds) and nothing under them.
struct HalfAway {
  static __m256i code(__m256 x, __m256 inv) {
    const __m256 half = _mm256_set1_ps(0x1.fffffep-2f),
                 minus_half = _mm256_set1_ps(-0x1.fffffep-2f);
    const __m256 v = _mm256_mul_ps(x, inv);
    return _mm256_cvttps_epi32(_mm256_add_ps(v, _mm256_blendv_ps(half, minus_half, v)));
  }
};

// ---- codes

/// 32 bytes in order. The packs work within halves and leave 4 bytes of a, b, c, d, then again.
inline __m256i in_order(__m256i packed) {
  return _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// 32 codes in order.
template <class Rounding, class T>
inline __m256i codes32(const T* x, __m256 inv) {
  const auto word = [=](std::size_t j) { return Rounding::code(load8(x + j), inv); };
  return in_order(_mm256_packs_epi16(_mm256_packs_epi32(word(0), word(8)),
                                     _mm256_packs_epi32(word(16), word(24))));
}

// ---- factors and scales

/// v where it is finite, otherwise 0: the group is treated as zero.
inline __m256 finite_or_zero(__m256 v) {
  return _mm256_and_ps(v, _mm256_cmp_ps(v, _mm256_set1_ps(__builtin_inff()), _CMP_LT_OQ));
}

// ---- back

template <bool kStream>
inline void store8(float* y, __m256 v) {
  store<kStream>(y, _mm256_castps_si256(v));
}
template <bool kStream>
inline void store8(f16* y, __m256 v) {
  const __m128i halves = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
  if constexpr (kStream)
    _mm_stream_si128(reinterpret_cast<__m128i*>(y), halves);
  else
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), halves);
}
inline void store1(float* y, float v) { *y = v; }
inline void store1(f16* y, float v) { *y = f16(narrowed(v)); }

template <bool kStream, class Y>
inline void back8(const std::int8_t* q, __m256 scale, Y* y) {
  const __m256i words = _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(q)));
  store8<kStream>(y, _mm256_mul_ps(_mm256_cvtepi32_ps(words), scale));
}

template <bool kStream, class Y>
inline void back32(const std::int8_t* q, __m256 scale, Y* y) {
  for (std::size_t j = 0; j < 32; j += 8) back8<kStream>(q + j, scale, y + j);
}

/// An f16 scale in all lanes.
inline __m256 broadcast(f16 scale) {
  return _mm256_cvtph_ps(_mm_set1_epi16(static_cast<std::int16_t>(scale)));
}

}  // namespace
}  // namespace qb::quantize
