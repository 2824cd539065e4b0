// SPDX-License-Identifier: Apache-2.0
// q4_0, AVX-512.
//
// One tree of vrangeps finds a value of largest magnitude, with its sign. If the other sign has one
// too, the first of them counts: its code is 16.5 before its limit, so codes with four bits of
// fraction tell, and those blocks are done again one by one. 9 half operations for 32 elements to
// find d and 19 for the codes: 7.2 cycles at best on a Zen 4.
//
// llvm-mca for Sapphire Rapids, whose model has one port for 512-bit floats where the CPU has two:
// the codes of four blocks take 20 cycles, 32 values back 5 (bound by shuffles).
#include "quantize/halves_avx512.h"
#include "quantize/kernels.h"
#include "quantize/s4_avx512.h"

namespace qb::quantize {
namespace {

/// The value of largest magnitude in a block, the first of several; +0 of zeros.
[[gnu::noinline]] float extreme_of(const float* x) {
  const __m512 a = _mm512_abs_ps(load16(x)), b = _mm512_abs_ps(load16(x + 16));
  const __m512 most = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(a, b)));
  const unsigned low = _mm512_cmp_ps_mask(a, most, _CMP_EQ_OQ);
  const unsigned high = _mm512_cmp_ps_mask(b, most, _CMP_EQ_OQ);
  return x[__builtin_ctz(low | high << 16 | 1u << 31)] + 0.0f;
}

[[gnu::noinline]] void block_q4_0(const float* x, BlockQ4_0* y) {
  const float d = extreme_of(x) * -0.125f;
  float id = 1.0f / d;
  if (!(__builtin_fabsf(id) <= 0x1.fffffep127f)) id = 0.0f;
  const auto nibbles = [=](const float* p) {
    const __m512 product = _mm512_mul_ps(load16(p), _mm512_set1_ps(id));
    return _mm512_min_epi32(_mm512_cvttps_epi32(_mm512_add_ps(product, _mm512_set1_ps(8.5f))),
                            _mm512_set1_epi32(15));
  };
  const __m512i bytes = _mm512_or_si512(nibbles(x), _mm512_slli_epi32(nibbles(x + 16), 4));
  y->d = f16(narrowed(d));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(y->qs), _mm512_cvtepi32_epi8(bytes));
}

/// A value of largest magnitude in each of four blocks, in each quarter.
inline __attribute__((always_inline)) __m512 extremes_of_4(const float* x) {
  __m512 v[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i)
    v[i] = larger_signed(_mm512_castsi512_ps(load_in_order(x + kBlock * i)),
                         load16(x + kBlock * i + 16));
  return reduce4(v[0], v[1], v[2], v[3], larger_signed);
}

/// d and 1/d (0 where it is not finite) of sixteen blocks at x. Where the largest magnitude occurs
/// with both signs, that of d is any if codes show it: if 1/d is finite and exact enough.
struct FactorsQ4_0 {
  __m512 d, id;
  FactorsQ4_0(__m512 largest, const float* x) {
    // Adding 0 makes -0 a +0, as a block of zeros has it.
    __m512 extreme = _mm512_add_ps(largest, _mm512_setzero_ps());
    const __m512 magnitude = _mm512_abs_ps(extreme);
    const __mmask16 tiny = _mm512_mask_cmp_ps_mask(
        _mm512_cmp_ps_mask(magnitude, _mm512_set1_ps(0x1p-100f), _CMP_LT_OQ), extreme,
        _mm512_setzero_ps(), _CMP_NEQ_OQ);
    if (tiny != 0) [[unlikely]] {
      alignas(64) float each[16];
      _mm512_store_ps(each, extreme);
      for (unsigned left = tiny; left; left &= left - 1) {
        const auto b = std::size_t(__builtin_ctz(left));
        each[b] = extreme_of(x + kBlock * b);
      }
      extreme = _mm512_load_ps(each);
    }
    d = _mm512_mul_ps(extreme, _mm512_set1_ps(-0.125f));
    id = _mm512_div_ps(_mm512_set1_ps(1.0f), d);
    const __mmask16 finite =
        _mm512_cmp_ps_mask(_mm512_abs_ps(id), _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    id = _mm512_maskz_mov_ps(finite, id);
  }
};

/// Sixteen times the codes of 16 elements of each of two blocks, with four bits of fraction, before
/// their limit. The FMA rounds as the sum of the product and 8.5.
inline __m512i words_q4_0(const float* x, const float* id) {
  const auto words = [](const float* p, const float* factor) {
    return _mm512_cvttps_epi32(_mm512_fmadd_ps(_mm512_mul_ps(load16(p), broadcast(factor)),
                                               _mm512_set1_ps(16.0f), _mm512_set1_ps(136.0f)));
  };
  return _mm512_packus_epi32(words(x, id), words(x + kBlock, id + 1));
}

/// Four blocks with their d. False if the largest magnitude may occur with both signs: the other
/// sign's is at 16.5.
inline bool encode4_q4_0(const float* x, const float* id, const f16* d, BlockQ4_0* y) {
  const __m512i low01 = words_q4_0(x, id), low23 = words_q4_0(x + 2 * kBlock, id + 2);
  const __m512i high01 = words_q4_0(x + 16, id), high23 = words_q4_0(x + 2 * kBlock + 16, id + 2);
  const __m512i most =
      _mm512_max_epi16(_mm512_max_epi16(low01, low23), _mm512_max_epi16(high01, high23));
  // Packing saturates: 15 and all of the fraction. Each quarter has four bytes of every block.
  const __m512i low = _mm512_packus_epi16(low01, low23);
  const __m512i high = _mm512_packus_epi16(high01, high23);
  // 0xd8: by the mask's bits high, else low
  const __m512i bytes = _mm512_ternarylogic_epi32(_mm512_srli_epi16(low, 4), high,
                                                  _mm512_set1_epi8(std::int8_t(0xf0)), 0xd8);
  // 36 words: 9 of each block, d first.
  const __m512i ds = _mm512_castsi128_si512(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(d)));
  const __m512i words = _mm512_set_epi16(15, 14, 7, 6, 35, 29, 28, 21, 20, 13, 12, 5, 4, 34, 27, 26,
                                         19, 18, 11, 10, 3, 2, 33, 25, 24, 17, 16, 9, 8, 1, 0, 32);
  const __m512i last = _mm512_permutexvar_epi32(
      _mm512_setr_epi32(11, 15, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), bytes);
  _mm512_storeu_si512(y, _mm512_permutex2var_epi16(bytes, words, ds));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(y[3].qs + 8), _mm512_castsi512_si128(last));
  return _mm512_cmpgt_epi16_mask(most, _mm512_set1_epi16(263)) == 0;
}

/// A multiple of 16 blocks. kFar: as in in_two_passes.
template <bool kFar>
[[gnu::noinline]] void quantize_q4_0(const float* x, std::size_t blocks, BlockQ4_0* y) {
  alignas(64) f16 d[32];
  in_two_passes<kBlock, kFar>(
      x, blocks, [](const float* from) { return extremes_of_4(from); },
      [](const __m512(&four)[4]) { return reduce16(four, larger_signed); },
      [&](std::size_t b, __m512 extreme16, std::size_t) {
        const FactorsQ4_0 factors(extreme16, x + b * kBlock);
        put_scales(d + b % 32, factors.d, 16);
        return factors.id;
      },
      [&](std::size_t b, const float* id, const float* from) {
        if (!encode4_q4_0(from, id, d + b % 32, y + b)) [[unlikely]]
          for (std::size_t i = 0; i < 4; ++i) block_q4_0(from + i * kBlock, y + b + i);
      });
}

template <bool kStream>
inline void dequantize_q4_0(const BlockQ4_0* x, std::size_t blocks, float* y) {
  const __m512 codes = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
  with_scales(x, blocks, kBlock, y, [=](const BlockQ4_0& block, const float& d, float* to) {
    const __m512 table = _mm512_mul_ps(codes, _mm512_set1_ps(d));
    const __m512i bytes =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(block.qs)));
    const __m512i high = _mm512_srli_epi32(bytes, 4);
    store<kStream>(to, _mm512_castps_si512(_mm512_permutexvar_ps(bytes, table)));
    store<kStream>(to + 16, _mm512_castps_si512(_mm512_permutexvar_ps(high, table)));
  });
  if (kStream) _mm_sfence();
}

}  // namespace

void quantize_f32_q4_0_avx512(const float* x, std::size_t blocks, BlockQ4_0* y) {
  const std::size_t done = blocks / 16 * 16;
  if (done)
    past_caches(blocks * kBlock * sizeof *x, blocks * sizeof *y) ? quantize_q4_0<true>(x, done, y)
                                                                 : quantize_q4_0<false>(x, done, y);
  for (std::size_t i = done; i < blocks; ++i) block_q4_0(x + i * kBlock, y + i);
}

void dequantize_q4_0_f32_avx512(const BlockQ4_0* x, std::size_t blocks, float* y) {
  if (streams(y, 1, blocks * kBlock * sizeof *y, blocks * sizeof *x))
    dequantize_q4_0<true>(x, blocks, y);
  else
    dequantize_q4_0<false>(x, blocks, y);
}

}  // namespace qb::quantize
