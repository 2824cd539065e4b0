// SPDX-License-Identifier: Apache-2.0
// Sixteen groups at a time, AVX-512 (quantize/lanes.h).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/bytes_x86.h"
#include "quantize/lanes.h"
#include "quantize/s4_avx512.h"

namespace qb::quantize {
namespace {

/// Transposes 16 rows of 16 floats, len apart, to columns stride apart.
inline void transpose16x16(const float* x, std::size_t len, float* columns, std::size_t stride) {
  __m512 quads[4][4];  // [four rows][column modulo 4], a quarter for each four columns
  for (std::size_t r = 0; r < 4; ++r) {
    const float* const rows = x + 4 * r * len;
    const __m512 a = load16(rows), b = load16(rows + len);
    const __m512 c = load16(rows + 2 * len), d = load16(rows + 3 * len);
    const __m512d ab_low = _mm512_castps_pd(_mm512_unpacklo_ps(a, b));
    const __m512d ab_high = _mm512_castps_pd(_mm512_unpackhi_ps(a, b));
    const __m512d cd_low = _mm512_castps_pd(_mm512_unpacklo_ps(c, d));
    const __m512d cd_high = _mm512_castps_pd(_mm512_unpackhi_ps(c, d));
    quads[r][0] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_low, cd_low));
    quads[r][1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_low, cd_low));
    quads[r][2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab_high, cd_high));
    quads[r][3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab_high, cd_high));
  }
  for (std::size_t c = 0; c < 4; ++c) {
    // Quarters 0 and 1, and 2 and 3, of rows 0 to 7 and 8 to 15.
    const __m512 low01 = _mm512_shuffle_f32x4(quads[0][c], quads[1][c], 0x44);
    const __m512 low23 = _mm512_shuffle_f32x4(quads[0][c], quads[1][c], 0xee);
    const __m512 high01 = _mm512_shuffle_f32x4(quads[2][c], quads[3][c], 0x44);
    const __m512 high23 = _mm512_shuffle_f32x4(quads[2][c], quads[3][c], 0xee);
    _mm512_store_ps(columns + stride * c, _mm512_shuffle_f32x4(low01, high01, 0x88));
    _mm512_store_ps(columns + stride * (c + 4), _mm512_shuffle_f32x4(low01, high01, 0xdd));
    _mm512_store_ps(columns + stride * (c + 8), _mm512_shuffle_f32x4(low23, high23, 0x88));
    _mm512_store_ps(columns + stride * (c + 12), _mm512_shuffle_f32x4(low23, high23, 0xdd));
  }
}

struct Lanes : BytesOf256 {
  using F = __m512;
  using I = __m512i;
  using M = __mmask16;
  static constexpr std::size_t kMostLanes = 16;
  static constexpr std::size_t lanes() { return 16; }
  static F set(float v) { return _mm512_set1_ps(v); }
  static F load(const float* p) { return _mm512_load_ps(p); }
  static F absolute(F v) { return _mm512_abs_ps(v); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F multiply(F a, F b) { return _mm512_mul_ps(a, b); }
  static F divide(F a, F b) { return _mm512_div_ps(a, b); }
  static F subtract(F a, F b) { return _mm512_sub_ps(a, b); }
  static F square_root(F v) { return _mm512_sqrt_ps(v); }
  static F larger(F a, F b) { return _mm512_max_ps(a, b); }
  static F smaller(F a, F b) { return _mm512_min_ps(a, b); }
  static M both(M a, M b) { return M(a & b); }
  static bool any(M m) { return m != 0; }
  static M less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  static M less_equal(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  static F select(M m, F a, F b) { return _mm512_mask_blend_ps(m, b, a); }
  static I words(std::uint32_t v) { return _mm512_set1_epi32(int(v)); }
  static I load(const std::uint32_t* p) { return _mm512_load_si512(p); }
  static void store(std::uint32_t* p, I v) { _mm512_store_si512(p, v); }
  static void store(float* p, F v) { _mm512_store_ps(p, v); }
  static I any_of(I a, I b) { return _mm512_or_si512(a, b); }
  static I bits(F v) { return _mm512_castps_si512(v); }
  static F floats(I v) { return _mm512_castsi512_ps(v); }
  template <int n>
  static I shift_left(I v) {
    return _mm512_slli_epi32(v, n);
  }
  template <int n>
  static I shift_right(I v) {
    return _mm512_srli_epi32(v, n);
  }
  static I minus(I a, I b) { return _mm512_sub_epi32(a, b); }
  static I largest(I a, I b) { return _mm512_max_epi32(a, b); }
  static I plus_where(I n, M m, std::uint32_t k) {
    return _mm512_mask_add_epi32(n, m, n, words(k));
  }
  static I only_where_not(M m, I n) { return _mm512_maskz_mov_epi32(M(~m), n); }
  /// The first min(n, 16) halves, to memory.
  static void widen_16(const f16* p, std::size_t n, float* to) {
    _mm512_store_ps(to, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first16(n), p)));
  }
  static float widened(f16 h) { return qb::widened(h); }
  static f16 narrowed(float v) { return f16(qb::narrowed(v)); }
  static void transpose(const float* x, std::size_t len, float* columns, std::size_t stride) {
    for (std::size_t j = 0; j < len; j += 16)
      transpose16x16(x + j, len, columns + stride * j, stride);
  }
  static F from_bytes(const std::int8_t* p, std::size_t) {
    const __m128i sixteen = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen));
  }
  static void widen(const f16* halves, std::size_t n, float* to) {
    for (std::size_t i = 0; i < n; i += 16)
      _mm512_store_ps(
          to + i, _mm512_cvtph_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(halves + i))));
  }
  static F multiply_add(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }

  static Bytes where_clear(const std::uint8_t* bits, std::size_t, std::uint8_t v) {
    std::uint32_t set;
    __builtin_memcpy(&set, bits, sizeof set);
    return _mm256_maskz_mov_epi8(~set, all_bytes(v));
  }
  /// 64 codes from the low nibbles of 64 bytes, and 64 from the high ones. The bits above a nibble
  /// are those of `mask` in the 32 bytes at `upper`, rotated left by turn[0] for the first 32 codes
  /// and by turn[1] for the others. Rotations cross bytes; `mask` drops what comes from neighbours.
  struct Wide {
    __m512i low, high;
  };
  static Wide wide_codes(const std::uint8_t* qs, const std::uint8_t* upper, std::uint8_t mask,
                         const int (&turn_low)[2], const int (&turn_high)[2]) {
    const auto halves = [](const int(&n)[2]) {
      return _mm512_setr_epi64(n[0], n[0], n[0], n[0], n[1], n[1], n[1], n[1]);
    };
    const __m512i pairs = _mm512_loadu_si512(qs), nibble = _mm512_set1_epi8(15);
    const __m512i above = _mm512_set1_epi8(static_cast<char>(mask));
    const __m512i bits = _mm512_broadcast_i64x4(load_bytes(upper));
    const __m512i low = _mm512_and_si512(pairs, nibble);
    const __m512i high = _mm512_and_si512(_mm512_srli_epi16(pairs, 4), nibble);
    // 0xf8: a | (b & c)
    return {
        _mm512_ternarylogic_epi64(low, _mm512_rolv_epi64(bits, halves(turn_low)), above, 0xf8),
        _mm512_ternarylogic_epi64(high, _mm512_rolv_epi64(bits, halves(turn_high)), above, 0xf8)};
  }
  static void store_wide(std::int8_t* p, __m512i v) { _mm512_storeu_si512(p, v); }
  static void store_halves(std::int8_t* p, std::int8_t* q, __m512i v) {
    store_bytes(p, _mm512_castsi512_si256(v));
    store_bytes(q, _mm512_extracti64x4_epi64(v, 1));
  }
  static __m512i lowered(__m512i v, std::uint8_t by) {
    return _mm512_sub_epi8(v, _mm512_set1_epi8(static_cast<char>(by)));
  }

  /// The code whose value is nearest to v, a midpoint going up, and that value.
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    const __m512 middles = _mm512_load_ps(table.middles);
    code = words(0);
    for (std::uint32_t step = 8; step; step /= 2) {
      const __m512 middle = _mm512_permutexvar_ps(_mm512_add_epi32(code, words(step - 1)), middles);
      code = plus_where(code, less_equal(middle, v), step);
    }
    value = _mm512_permutexvar_ps(code, _mm512_load_ps(table.values));
  }
  static I byte_words(const std::uint8_t* p, std::size_t) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  /// What the sixteen nibbles stand for, and those of the words' low nibbles: vpermps ignores the
  /// bits above them.
  static F of_nibbles(F scale, F offset) {
    const F nibbles = _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return multiply_add(scale, nibbles, offset);
  }
  /// The sixteen codes less a zero point, times a scale.
  static F of_nibbles_less(std::uint32_t zero, const float& scale) {
    alignas(64) static constexpr float kSteps[32] = {
        -15, -14, -13, -12, -11, -10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0,
        1,   2,   3,   4,   5,   6,   7,  8,  9,  10, 11, 12, 13, 14, 15, 16};
    return multiply(_mm512_loadu_ps(kSteps + 15 - zero), set(scale));
  }
  static F look_up(F table, I v) { return _mm512_permutexvar_ps(v, table); }
  /// Sixteen codes from eight bytes. Code i is the low nibble of lane i; what its neighbour leaves
  /// above it is ignored by look_up().
  static I nibbles(const std::uint8_t* p) {
    // Broadcasts from memory, the second to the upper half, are no shuffles.
    const __m128i low = _mm_loadu_si32(p), high = _mm_loadu_si32(p + 4);
    const I words = _mm512_mask_broadcastd_epi32(_mm512_broadcastd_epi32(low), 0xff00, high);
    const I places = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
    return _mm512_srlv_epi32(words, places);
  }
  /// The low nibbles of eight bytes, then the high ones, as words; something above them.
  static I nibble_words(const std::uint8_t* eight) {
    std::int64_t both;
    __builtin_memcpy(&both, eight, sizeof both);
    const __m128i twice = _mm_set1_epi64x(both);
    const __m512i right = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4);
    return _mm512_srlv_epi32(_mm512_cvtepu8_epi32(twice), right);
  }
  /// scale times -1, 0, 1, 2, by the low two bits of each word.
  static F of_pairs(F scale) {
    return multiply(scale, _mm512_broadcast_f32x4(_mm_setr_ps(-1, 0, 1, 2)));
  }
  static F look_up_pair(F table, I v) { return _mm512_permutevar_ps(table, v); }
  template <bool kStream>
  static void put(float* p, F v, std::size_t) {
    qb::store<kStream>(p, _mm512_castps_si512(v));
  }
  static bool streams(const float* y, std::size_t read, std::size_t written) {
    return quantize::streams(y, 1, written, read);
  }
  static void fence() { _mm_sfence(); }
};

}  // namespace
}  // namespace qb::quantize
