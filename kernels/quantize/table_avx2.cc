// SPDX-License-Identifier: Apache-2.0
// The formats of 4-bit codes that index a table, AVX2 + F16C: eight blocks at a time.
//
//   quantize    An 8x8 transpose of floats, three shuffles a vector. A code is the number of
//   midpoints
//               below, a comparison and a subtraction each.
//   dequantize  vpshufb looks up the values as bytes; vpmovsxbd, vcvtdq2ps, vmulps.
#include "quantize/s4_avx2.h"

#include "quantize/kernels.h"
#include "quantize/table_blocks.h"

namespace qb::quantize {
namespace {

/// Transposes 8 rows of 8 floats, kBlock apart, to columns 8 apart.
inline void transpose8x8(const float* x, float* columns) {
  __m256 quads[2][4];  // [half of the rows][column modulo 4]
  for (std::size_t h = 0; h < 2; ++h) {
    const float* const rows = x + 4 * h * kBlock;
    const __m256 a = _mm256_loadu_ps(rows), b = _mm256_loadu_ps(rows + kBlock);
    const __m256 c = _mm256_loadu_ps(rows + 2 * kBlock), d = _mm256_loadu_ps(rows + 3 * kBlock);
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
    _mm256_store_ps(columns + 8 * c, _mm256_permute2f128_ps(quads[0][c], quads[1][c], 0x20));
    _mm256_store_ps(columns + 8 * (c + 4), _mm256_permute2f128_ps(quads[0][c], quads[1][c], 0x31));
  }
}

struct Vectors {
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
  static void nearest(F v, const TableOf16& table, I& code, F& value) {
    code = words(0);
    for (int i = 0; i < 15; ++i)
      code = plus_where(code, less_equal(_mm256_broadcast_ss(table.middles + i), v), 1);
    const __m256 low = _mm256_permutevar8x32_ps(_mm256_load_ps(table.values), code);
    const __m256 high = _mm256_permutevar8x32_ps(_mm256_load_ps(table.values + 8), code);
    // vblendvps looks at the sign: bit 3 of the code.
    value = _mm256_blendv_ps(low, high, floats(shift_left<28>(code)));
  }
  static void transpose(const float* x, float* columns) {
    for (std::size_t j = 0; j < kBlock; j += 8) transpose8x8(x + j, columns + 8 * j);
  }
  static float widened(f16 h) { return _cvtsh_ss(static_cast<std::uint16_t>(h)); }
  static f16 narrowed(float v) { return f16(to_half(v)); }
  template <bool kStream>
  static void decode(const std::uint8_t* qs, const TableOf16& table, float scale, float* y) {
    const __m128i values = load128(table.bytes), bytes = load128(qs), low = _mm_set1_epi8(15);
    const __m128i first = _mm_shuffle_epi8(values, _mm_and_si128(bytes, low));
    const __m128i second = _mm_shuffle_epi8(values, _mm_and_si128(_mm_srli_epi16(bytes, 4), low));
    const __m256 factor = _mm256_set1_ps(scale);
    const auto put = [=](__m128i eight, float* to) {
      const __m256 v = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight));
      quantize::store<kStream>(to, _mm256_mul_ps(v, factor));
    };
    put(first, y);
    put(_mm_unpackhi_epi64(first, first), y + 8);
    put(second, y + 16);
    put(_mm_unpackhi_epi64(second, second), y + 24);
  }
  static bool streams(const float* y, std::size_t read, std::size_t written) {
    return quantize::streams(y, 1, written, read);
  }
  static void fence() { _mm_sfence(); }
};

}  // namespace

QB_TABLE_FORMATS(QB_TABLE_KERNELS, )

}  // namespace qb::quantize
