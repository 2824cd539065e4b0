// SPDX-License-Identifier: Apache-2.0
// 4-bit codes to the bytes that AMX multiplies, and back.
//
// In an anonymous namespace on purpose: see docs/decisions/0002-odr.md.
#pragma once

#include "core/avx512.h"
#include "matmul/a8/activations.h"
#include "matmul/amx_tiles.h"

namespace qb::matmul {
namespace {

template <bool b>
struct Truth {
  static constexpr bool value = b;
};

/// Two codes a byte, each stored +8, to 16 times what they stand for.
inline void decode_nibbles(const Byte* from, Byte* low, Byte* high) {
  const __m512i v = load(from), eights = _mm512_set1_epi8(static_cast<char>(0x88));
  const __m512i upper = _mm512_set1_epi8(static_cast<char>(0xf0));
  constexpr int flip_and_mask = 0x28;  // (v ^ eights) & upper
  store(low, _mm512_ternarylogic_epi32(_mm512_slli_epi16(v, 4), eights, upper, flip_and_mask));
  store(high, _mm512_ternarylogic_epi32(v, eights, upper, flip_and_mask));
}

/// Two indices a byte, to their values in a table.
template <class Codes>
inline void look_up_nibbles(const Byte* from, Byte* low, Byte* high) {
  const __m512i v = load(from), nibble = _mm512_set1_epi8(15);
  const __m512i table =
      _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(Codes::kValues)));
  store(low, _mm512_shuffle_epi8(table, _mm512_and_si512(v, nibble)));
  store(high, _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble)));
}

/// Two codes of 0 to 15 a byte, to bytes.
inline void split_nibbles(const Byte* from, Byte* low, Byte* high) {
  const __m512i v = load(from), nibble = _mm512_set1_epi8(15);
  store(low, _mm512_and_si512(v, nibble));
  store(high, _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble));
}

/// Two codes of 0 to 15 to a byte.
inline __m512i encode_nibbles(__m512i low, __m512i high) {
  return _mm512_or_si512(_mm512_slli_epi16(high, 4), low);
}

}  // namespace
}  // namespace qb::matmul
