// SPDX-License-Identifier: Apache-2.0
// What the AVX-512 kernels of 4-bit codes share (s4_avx512.cc, s4_f16_avx512.cc, q4_0_avx512.cc).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "core/avx512.h"

namespace qb::quantize {
namespace {

constexpr float kMost = 7.0f;
constexpr std::size_t kStep = 128;  // elements of one step: a line of codes

/// Whether to store past the caches: `groups` outputs of `bytes` each, the first at p, are made of
/// `read` bytes each. Each output must begin a cache line.
inline bool streams(const void* p, std::size_t groups, std::size_t bytes, std::size_t read) {
  return past_caches(groups * read, groups * bytes) && at_line(p) &&
         (groups == 1 || bytes % kLineBytes == 0);
}

// ---- codes

/// 128 codes, 16 a register, to 64 bytes.
inline __m512i pack128(const __m512i (&c)[8]) {
  const __m512i low_nibble = _mm512_set1_epi8(15), weights = _mm512_set1_epi16(0x1001);
  __m512i half[2];
  for (int i = 0; i < 2; ++i) {
    const __m512i* const d = c + 4 * i;
    // Packing works within quarters: each has four codes of every register.
    const __m512i bytes =
        _mm512_packs_epi16(_mm512_packs_epi32(d[0], d[1]), _mm512_packs_epi32(d[2], d[3]));
    half[i] = _mm512_maddubs_epi16(_mm512_and_si512(bytes, low_nibble), weights);
  }
  // Words of four codes: quarter q has one word of each register 0 to 7. The permutation puts the
  // four words of a register next to each other.
  const __m512i order = _mm512_set_epi16(31, 23, 15, 7, 30, 22, 14, 6, 29, 21, 13, 5, 28, 20, 12, 4,
                                         27, 19, 11, 3, 26, 18, 10, 2, 25, 17, 9, 1, 24, 16, 8, 0);
  return _mm512_permutexvar_epi16(order, _mm512_packus_epi16(half[0], half[1]));
}

/// The first n of 128 codes, zeros behind them; n may be 128 or more.
template <class Rounding, class T>
inline __m512i some_codes(const T* x, std::size_t n, __m512 inv) {
  __m512i c[8];
  for (std::size_t i = 0; i < 8; ++i)
    c[i] = Rounding::code(load16(x + 16 * i, beyond(n, 16 * i)), inv);
  return pack128(c);
}

template <class Rounding, class T>
inline __attribute__((always_inline)) __m512i codes128(const T* x, __m512 inv) {
  __m512i c[8];
  for (std::size_t i = 0; i < 8; ++i) c[i] = Rounding::code(load16(x + 16 * i), inv);
  return pack128(c);
}

/// Codes of one group, whatever its length.
template <bool kStream, class Rounding, class T>
[[gnu::noinline]] void encode(const T* x, std::size_t len, float factor, std::uint8_t* q) {
  const __m512 inv = _mm512_set1_ps(factor);
  std::size_t j = 0;
  for (; j + kStep <= len; j += kStep) store<kStream>(q + j / 2, codes128<Rounding>(x + j, inv));
  if (j < len)
    _mm512_mask_storeu_epi8(q + j / 2, first64((len - j + 1) / 2),
                            some_codes<Rounding>(x + j, len - j, inv));
}

/// The sixteen codes by nibble, two's complement.
inline __m512 codes_by_nibble() {
  return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
}

}  // namespace
}  // namespace qb::quantize
