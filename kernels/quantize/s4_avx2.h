// SPDX-License-Identifier: Apache-2.0
// What the AVX2 kernels of 4-bit codes share (s4_avx2.cc, s4_f16_avx2.cc, q4_0_avx2.cc).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/avx2.h"
#include "core/turns.h"

namespace qb::quantize {
namespace {

constexpr std::size_t kStep = 64;  // elements of one step of the s4 kernels: 32 bytes of codes

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

/// Streaming stores want 32-byte alignment.
template <bool streamed>
inline void store(void* p, __m256i v) {
  if constexpr (streamed)
    _mm256_stream_si256(static_cast<__m256i*>(p), v);
  else
    _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}
template <bool streamed>
inline void store(float* p, __m256 v) {
  store<streamed>(static_cast<void*>(p), _mm256_castps_si256(v));
}

inline bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 32 == 0; }

/// Whether to store past the caches: `groups` outputs of `bytes` each, the first at p, are made of
/// `read` bytes each. All outputs must be aligned.
inline bool streams(const void* p, std::size_t groups, std::size_t bytes, std::size_t read) {
  return past_caches(groups * read, groups * bytes) && aligned(p) &&
         (groups == 1 || bytes % 32 == 0);
}

// ---- codes

/// Not _cvtss_sh: clang's warns under -Wpedantic.
inline std::uint16_t to_half(float v) {
  const __m128i h = _mm_cvtps_ph(_mm_set_ss(v), _MM_FROUND_TO_NEAREST_INT);
  return std::uint16_t(_mm_extract_epi16(h, 0));
}

/// 64 codes, 8 a register, to 32 bytes.
inline __m256i pack64(const __m256i c[8]) {
  const __m256i low_nibble = _mm256_set1_epi8(15), weights = _mm256_set1_epi16(0x1001);
  __m256i half[2];
  for (int i = 0; i < 2; ++i) {
    const __m256i* const d = c + 4 * i;
    // Packing works within 128-bit halves: codes 0-3 8-11 16-19 24-27 | 4-7 12-15 20-23 28-31.
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(d[0], d[1]), _mm256_packs_epi32(d[2], d[3]));
    half[i] = _mm256_maddubs_epi16(_mm256_and_si256(bytes, low_nibble), weights);
  }
  // Byte pairs, by their place in the result: 0 2 4 6 8 .. 14 | 1 3 5 .. 15 after vpermq brings
  // together the halves that belong together (each 0 2 4 6 1 3 5 7), put right by vpshufb.
  const __m256i order = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,  //
                                         0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
  const __m256i packed = _mm256_packus_epi16(half[0], half[1]);
  return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(packed, 0xd8), order);
}

/// The first n, 8 or 4.
inline void put_scales(float* scale, __m256 v, std::size_t n) {
  if (n == 4)
    _mm_storeu_ps(scale, _mm256_castps256_ps128(v));
  else
    _mm256_storeu_ps(scale, v);
}
inline void put_scales(f16* scale, __m256 v, std::size_t n) {
  const __m128i halves = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
  if (n == 4)
    _mm_storel_epi64(reinterpret_cast<__m128i*>(scale), halves);
  else
    _mm_storeu_si128(reinterpret_cast<__m128i*>(scale), halves);
}
inline void put_scale(float* scale, __m256 v) { *scale = _mm256_cvtss_f32(v); }
inline void put_scale(f16* scale, __m256 v) { *scale = f16(to_half(_mm256_cvtss_f32(v))); }

inline __m256 prescaled8(__m128i halves) {
  return _mm256_mul_ps(_mm256_cvtph_ps(halves), _mm256_set1_ps(0x1p-28f));
}

/// Codes of one group, whatever its length. codes64(x): those of 64 elements.
template <bool streamed, class T, class Codes64>
inline void encode(const T* x, std::size_t len, const Codes64& codes64, std::uint8_t* q) {
  std::size_t j = 0;
  for (; j + kStep <= len; j += kStep) store<streamed>(q + j / 2, codes64(x + j));
  if (j < len) {  // through memory of our own: zeros behind the end leave the last nibble 0
    T rest[kStep] = {};
    std::uint8_t bytes[kStep / 2];
    __builtin_memcpy(rest, x + j, (len - j) * sizeof(T));
    store<false>(bytes, codes64(rest));
    __builtin_memcpy(q + j / 2, bytes, (len - j + 1) / 2);
  }
}

}  // namespace
}  // namespace qb::quantize
