// SPDX-License-Identifier: Apache-2.0
// Absmax by 256-bit vectors, which AVX2 and AVX-512 share: of groups, eight at a time, and of one
// run that is too large for the caches. 512-bit vectors are no faster here: reducing them takes one
// step more, which costs what the loads save, and memory is read faster by loads of 32 bytes
// (core/turns.h).
//
// Magnitudes are compared as integers, the bits with the sign cleared, so that NaN is the largest.
// Everything is in an anonymous namespace: see docs/decisions/0002-odr.md.
#pragma once

#include <immintrin.h>

#include "core/turns.h"
#include "quantbench/types.h"

#if !defined(__AVX2__) || !defined(__F16C__)
#error "compile with the flags of cmake/Isa.cmake for avx2"
#endif

namespace qb::absmax {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }

struct U32 {
  using T = float;
  static constexpr std::size_t lanes = 8;
  static __m256i magnitude(const float* x) {
    return _mm256_and_si256(load(x), _mm256_set1_epi32(0x7fffffff));
  }
  static __m256i max(__m256i a, __m256i b) { return _mm256_max_epu32(a, b); }
  static float one(const float* x, std::size_t len) {
    std::uint32_t largest = 0;
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint32_t m = __builtin_bit_cast(std::uint32_t, x[j]) & 0x7fffffffu;
      largest = m > largest ? m : largest;
    }
    return __builtin_bit_cast(float, largest);
  }
  static float reduce(__m256i v) {
    __m128i m = _mm_max_epu32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
    m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(m));
  }
  /// Lane i of the result is reduce(g[i]): three halvings, each joining two registers in one.
  static __m256 reduce8(const __m256i (&g)[8]) {
    __m256i pair[4], four[2];
    for (int i = 0; i < 4; ++i)
      pair[i] = max(_mm256_unpacklo_epi32(g[2 * i], g[2 * i + 1]),
                    _mm256_unpackhi_epi32(g[2 * i], g[2 * i + 1]));
    for (int i = 0; i < 2; ++i)
      four[i] = max(_mm256_unpacklo_epi64(pair[2 * i], pair[2 * i + 1]),
                    _mm256_unpackhi_epi64(pair[2 * i], pair[2 * i + 1]));
    return _mm256_castsi256_ps(max(_mm256_permute2x128_si256(four[0], four[1], 0x20),
                                   _mm256_permute2x128_si256(four[0], four[1], 0x31)));
  }
};

struct U16 {
  using T = f16;
  static constexpr std::size_t lanes = 16;
  static __m256i magnitude(const f16* x) {
    return _mm256_and_si256(load(x), _mm256_set1_epi16(0x7fff));
  }
  static __m256i max(__m256i a, __m256i b) { return _mm256_max_epu16(a, b); }
  static float one(const f16* x, std::size_t len) {
    std::uint16_t largest = 0;
    for (std::size_t j = 0; j < len; ++j) {
      const std::uint16_t m = static_cast<std::uint16_t>(x[j]) & 0x7fffu;
      largest = m > largest ? m : largest;
    }
    return _cvtsh_ss(largest);
  }
  static float reduce(__m256i v) {
    const __m128i m = _mm_max_epu16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    // vphminposuw is the only horizontal word reduction: a minimum, so complement.
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi16(-1)));
    return _cvtsh_ss(static_cast<unsigned short>(~_mm_cvtsi128_si32(least)));
  }
  static __m256 reduce8(const __m256i (&g)[8]) {
    __m256i pair[4], four[2];
    for (int i = 0; i < 4; ++i)
      pair[i] = max(_mm256_unpacklo_epi16(g[2 * i], g[2 * i + 1]),
                    _mm256_unpackhi_epi16(g[2 * i], g[2 * i + 1]));
    for (int i = 0; i < 2; ++i)
      four[i] = max(_mm256_unpacklo_epi32(pair[2 * i], pair[2 * i + 1]),
                    _mm256_unpackhi_epi32(pair[2 * i], pair[2 * i + 1]));
    const __m256i all =
        max(_mm256_unpacklo_epi64(four[0], four[1]), _mm256_unpackhi_epi64(four[0], four[1]));
    return _mm256_cvtph_ps(
        _mm_max_epu16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
  }
};

/// One group of len >= U::lanes. Eight vectors a step are reduced to four accumulators in a tree. A
/// vector costs one AND and one maximum, and the chain of dependent maxima is shorter than the time
/// that the loads take.
template <class U>
inline float run(const typename U::T* x, std::size_t len) {
  constexpr std::size_t lanes = U::lanes;
  const auto* const end = x + len;
  __m256i a[4];
  // The last vector overlaps elements that the loop reads too, which does not change a maximum.
  for (auto& v : a) v = U::magnitude(end - lanes);
  for (; std::size_t(end - x) >= 8 * lanes; x += 8 * lanes)
    for (std::size_t i = 0; i < 4; ++i)
      a[i] = U::max(a[i],
                    U::max(U::magnitude(x + 2 * i * lanes), U::magnitude(x + (2 * i + 1) * lanes)));
  for (; std::size_t(end - x) >= lanes; x += lanes) a[0] = U::max(a[0], U::magnitude(x));
  return U::reduce(U::max(U::max(a[0], a[1]), U::max(a[2], a[3])));
}

/// One run too large for the caches.
template <class U>
inline float far_run(const typename U::T* x, std::size_t len) {
  const auto [most, done] = far_maxima(x, len);
  const float rest = run<U>(x + done, len - done), largest = U::reduce(most);
  // As bits, for NaN: it is the largest.
  return __builtin_bit_cast(std::uint32_t, rest) > __builtin_bit_cast(std::uint32_t, largest)
             ? rest
             : largest;
}

/// Eight groups of len >= U::lanes, one behind the other. kLen: len where it is known, else 0.
/// kInOrder: left to itself gcc has some loads jump ahead.
template <class U, std::size_t kLen, bool kInOrder>
inline __m256 eight(const typename U::T* x, std::size_t len) {
  constexpr std::size_t lanes = U::lanes;
  __m256i g[8];
  for (std::size_t i = 0; i < 8; ++i) {
    const auto* const group = x + i * len;
    g[i] = U::magnitude(group);
    if constexpr (kLen == 4 * lanes) {
      g[i] = U::max(U::max(g[i], U::magnitude(group + lanes)),
                    U::max(U::magnitude(group + 2 * lanes), U::magnitude(group + 3 * lanes)));
    } else if constexpr (kLen != 0) {
      for (std::size_t j = lanes; j < kLen; j += lanes)
        g[i] = U::max(g[i], U::magnitude(group + j));
    }
    if constexpr (kInOrder) __asm__ volatile("" ::: "memory");
  }
  if constexpr (kLen == 0) {
    std::size_t j = lanes;
    for (; j + lanes <= len; j += lanes)
      for (std::size_t i = 0; i < 8; ++i) g[i] = U::max(g[i], U::magnitude(x + i * len + j));
    if (j != len)
      for (std::size_t i = 0; i < 8; ++i)
        g[i] = U::max(g[i], U::magnitude(x + i * len + len - lanes));
  }
  return U::reduce8(g);
}

template <class U, std::size_t kLen>
inline void by_eights(const typename U::T* x, std::size_t groups, std::size_t len, float* out) {
  std::size_t done = 0;
  for (; groups - done >= 8; done += 8)
    _mm256_storeu_ps(out + done, eight<U, kLen, false>(x + done * len, kLen ? kLen : len));
  for (; done < groups; ++done) out[done] = run<U>(x + done * len, len);
}

/// Groups too large for the caches together, in turns of 32 groups; how many of them are done.
template <class U, std::size_t kLen>
[[gnu::noinline]] std::size_t far_eights(const typename U::T* x, std::size_t groups,
                                         std::size_t len, float* out) {
  constexpr std::size_t kTurn = 32;
  const std::size_t stride = turns_apart(groups / kTurn, kPlaces) * kTurn;
  for (std::size_t g = 0; g < stride; g += kTurn)
    for (std::size_t place = 0; place < kPlaces; ++place)
      for (std::size_t k = 0; k < kTurn; k += 8) {
        const std::size_t at = place * stride + g + k;
        _mm256_storeu_ps(out + at, eight<U, kLen, true>(x + at * len, kLen ? kLen : len));
      }
  return kPlaces * stride;
}

/// Up to this many bytes groups go by eights: longer ones hide their own reductions.
constexpr std::size_t kShort = 1024;

template <class U>
inline void short_groups(const typename U::T* x, std::size_t groups, std::size_t len, float* out) {
  if (len < U::lanes) {
    for (std::size_t i = 0; i < groups; ++i) out[i] = U::one(x + i * len, len);
    return;
  }
  if (groups * len * sizeof *x >= kStreamBytes) {
    const std::size_t done =
        len == 32 ? far_eights<U, 32>(x, groups, len, out) : far_eights<U, 0>(x, groups, len, out);
    x += done * len, groups -= done, out += done;
  }
  if (len == 32)
    by_eights<U, 32>(x, groups, len, out);
  else
    by_eights<U, 0>(x, groups, len, out);
}

}  // namespace
}  // namespace qb::absmax
