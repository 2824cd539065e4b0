// SPDX-License-Identifier: Apache-2.0
// Eight groups at a time, AVX2 + F16C (quantize/lanes.h).
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include "quantize/bytes_x86.h"
#include "quantize/lanes.h"
#include "quantize/s4_avx2.h"

namespace qb::quantize {
namespace {

/// Transposes 8 rows of 8 floats, len apart, to columns stride apart.
inline void transpose8x8(const float* x, std::size_t len, float* columns, std::size_t stride) {
  __m256 quads[2][4];  // [half of the rows][column modulo 4]
  for (std::size_t h = 0; h < 2; ++h) {
    const float* const rows = x + 4 * h * len;
    const __m256 a = _mm256_loadu_ps(rows), b = _mm256_loadu_ps(rows + len);
    const __m256 c = _mm256_loadu_ps(rows + 2 * len), d = _mm256_loadu_ps(rows + 3 * len);
    const __m256d ab_low = _mm256_castps_pd(_mm256_unpacklo_ps(a, b));
    const __m256d ab_high = _mm256_castps_pd(_mm256_unpackhi_ps(a, b));
    const __m256d cd_low = _mm256_castps_pd(_mm256_unpacklo_ps(c, d));
    const __m256d cd_high = _mm256_castps_pd(_mm256_unpackhi_ps(c, d));
    quads[h][0] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_low, cd_low));
    quads[h][1] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_low, cd_low));
    quads[h][2] = _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high));
    quads[h][3] = _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high));
  }
  for (std::size_t c = 0; c < 4; ++c) {
    _mm256_store_ps(columns + stride * c, _mm256_permute2f128_ps(quads[0][c], quads[1][c], 0x20));
    _mm256_store_ps(columns + stride * (c + 4),
                    _mm256_permute2f128_ps(quads[0][c], quads[1][c], 0x31));
  }
}

struct Lanes : BytesOf256 {
  using F = __m256;
  using I = __m256i;
  using M = __m256;
  static constexpr std::size_t kMostLanes = 8;
  static constexpr std::size_t lanes() { return 8; }
  static F set(float v) { return _mm256_set1_ps(v); }
  static F load(const float* p) { return _mm256_load_ps(p); }
  static F absolute(F v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F multiply(F a, F b) { return _mm256_mul_ps(a, b); }
  static F divide(F a, F b) { return _mm256_div_ps(a, b); }
  static F subtract(F a, F b) { return _mm256_sub_ps(a, b); }
  static F square_root(F v) { return _mm256_sqrt_ps(v); }
  static F larger(F a, F b) { return _mm256_max_ps(a, b); }
  static F smaller(F a, F b) { return _mm256_min_ps(a, b); }
  static M both(M a, M b) { return _mm256_and_ps(a, b); }
  static bool any(M m) { return _mm256_movemask_ps(m) != 0; }
  static M less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  static M less_equal(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LE_OQ); }
  static F select(M m, F a, F b) { return _mm256_blendv_ps(b, a, m); }
  static I words(std::uint32_t v) { return _mm256_set1_epi32(int(v)); }
  static I load(const std::uint32_t* p) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void store(std::uint32_t* p, I v) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), v); }
  static void store(float* p, F v) { _mm256_store_ps(p, v); }
  static I any_of(I a, I b) { return _mm256_or_si256(a, b); }
  static I bits(F v) { return _mm256_castps_si256(v); }
  static F floats(I v) { return _mm256_castsi256_ps(v); }
  template <int n>
  static I shift_left(I v) {
    return _mm256_slli_epi32(v, n);
  }
  template <int n>
  static I shift_right(I v) {
    return _mm256_srli_epi32(v, n);
  }
  static I minus(I a, I b) { return _mm256_sub_epi32(a, b); }
  static I largest(I a, I b) { return _mm256_max_epi32(a, b); }
  static I plus_where(I n, M m, std::uint32_t k) {
    const __m256i mask = _mm256_castps_si256(m);
    return k == 1 ? _mm256_sub_epi32(n, mask)
                  : _mm256_add_epi32(n, _mm256_and_si256(mask, words(k)));
  }
  static I only_where_not(M m, I n) { return _mm256_andnot_si256(_mm256_castps_si256(m), n); }
  static float widened(f16 h) { return _cvtsh_ss(static_cast<std::uint16_t>(h)); }
  static f16 narrowed(float v) { return f16(to_half(v)); }
  static void transpose(const float* x, std::size_t len, float* columns, std::size_t stride) {
    for (std::size_t j = 0; j < len; j += 8) transpose8x8(x + j, len, columns + stride * j, stride);
  }
  static F from_bytes(const std::int8_t* p, std::size_t) {
    const __m128i eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
  }
  static void widen(const f16* halves, std::size_t n, float* to) {
    for (std::size_t i = 0; i < n; i += 8)
      _mm256_store_ps(
          to + i, _mm256_cvtph_ps(_mm_load_si128(reinterpret_cast<const __m128i*>(halves + i))));
  }
  static F multiply_add(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }

  static Bytes lowered(Bytes v, std::uint8_t by) { return _mm256_sub_epi8(v, all_bytes(by)); }
  template <int n>
  static Bytes left(Bytes v) {
    return _mm256_slli_epi16(v, n);
  }
  template <int n>
  static Bytes right(Bytes v) {
    return _mm256_srli_epi16(v, n);
  }
  static Bytes where_clear(const std::uint8_t* bits, std::size_t, std::uint8_t v) {
    int four;
    __builtin_memcpy(&four, bits, sizeof four);
    const __m256i order =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(four), order);
    const __m256i bit = _mm256_set1_epi64x(std::int64_t(0x8040201008040201u));
    return masked(_mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), _mm256_setzero_si256()), v);
  }
  /// The bytes among the table's sixteen that indices below 16 name.
  static Bytes bytes_of_table(const std::int8_t* table, Bytes index) {
    const __m128i values = _mm_load_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), index);
  }
  static void store_eights(std::int8_t* p, std::size_t, Bytes low, Bytes high) {
    const __m256i even = _mm256_unpacklo_epi64(low, high), odd = _mm256_unpackhi_epi64(low, high);
    __m128i* const to = reinterpret_cast<__m128i*>(p);
    _mm_storeu_si128(to, _mm256_castsi256_si128(even));
    _mm_storeu_si128(to + 1, _mm256_castsi256_si128(odd));
    _mm_storeu_si128(to + 2, _mm256_extracti128_si256(even, 1));
    _mm_storeu_si128(to + 3, _mm256_extracti128_si256(odd, 1));
  }

  /// The code whose value is nearest to v, a midpoint going up, and that value.
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    const float* const m = table.middles;
    const __m256 fours = _mm256_setr_ps(m[1], m[5], m[9], m[13], m[1], m[5], m[9], m[13]);
    const __m256 twos = _mm256_setr_ps(m[0], m[2], m[4], m[6], m[8], m[10], m[12], m[14]);
    const M upper = less_equal(set(m[7]), v);
    code = shift_right<31>(bits(upper));
    code = doubled_and(code, less_equal(select(upper, set(m[11]), set(m[3])), v));
    code = doubled_and(code, less_equal(_mm256_permutevar8x32_ps(fours, code), v));
    code = doubled_and(code, less_equal(_mm256_permutevar8x32_ps(twos, code), v));
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps(table.values), code);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_load_ps(table.values + 8), code);
    value = select(upper, high, low);
  }
  /// 2n, and one more where m.
  static I doubled_and(I n, M m) {
    return _mm256_sub_epi32(_mm256_add_epi32(n, n), _mm256_castps_si256(m));
  }

  static I byte_words(const std::uint8_t* p, std::size_t) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static I low_nibbles(I v) { return _mm256_and_si256(v, words(15)); }
  static F to_floats(I v) { return _mm256_cvtepi32_ps(v); }
  static I nibbles(const std::uint8_t* p) {
    std::int32_t eight;
    __builtin_memcpy(&eight, p, sizeof eight);
    const I places = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    return low_nibbles(_mm256_srlv_epi32(_mm256_set1_epi32(eight), places));
  }
  template <bool kStream>
  static void put(float* p, F v, std::size_t) {
    quantize::store<kStream>(p, v);
  }
  static bool streams(const float* y, std::size_t read, std::size_t written) {
    return quantize::streams(y, 1, written, read);
  }
  static void fence() { _mm_sfence(); }
};

}  // namespace
}  // namespace qb::quantize
