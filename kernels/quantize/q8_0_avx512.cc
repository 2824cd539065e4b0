// SPDX-License-Identifier: Apache-2.0
// q8_0, AVX-512. As groups of 32 in s8_avx512.cc, but it rounds half away from zero, by one
// multiplication of 32 words, and takes its blocks apart: 23 half operations for 32 elements on a
// Zen 4, 5.8 cycles at best. llvm-mca for Sapphire Rapids: 32 values back take 4 cycles.
#include "quantize/s8_avx512.h"

#include "quantize/halves_avx512.h"
#include "quantize/kernels.h"
#include "quantize/q8_0_x86.h"

namespace qb::quantize {
namespace {

/// 64 codes of q8_0, the first 32 by `a`, the others by `b`: 16/d. Of n, a product's sixteenths
/// truncated, vpmulhrsw by 2049 makes (2048 n + n + 2^14) >> 15: n/16 rounded, and halves up, but
/// for the single n. That is less than 2048, so it counts only at a half, and takes a negative one
/// down.
inline __m512i codes64_away(const float* x, __m512 a, __m512 b) {
  const auto sixteenths = [=](std::size_t j, __m512 factor) {
    return _mm512_cvttps_epi32(_mm512_mul_ps(load16(x + j), factor));
  };
  const auto words = [=](std::size_t j, __m512 factor) {
    return _mm512_mulhrs_epi16(
        _mm512_packs_epi32(sixteenths(j, factor), sixteenths(j + 16, factor)),
        _mm512_set1_epi16(2049));
  };
  return in_order(_mm512_packs_epi16(words(0, a), words(32, b)));
}

inline void blocks_one_by_one(const float* x, std::size_t blocks, BlockQ8_0* y) {
  for (std::size_t i = 0; i < blocks; ++i, x += kBlock) {
    const float d = absmax_of_1(x, kBlock) / kMost;
    const float id = 1.0f / d;
    y[i].d = f16(narrowed(d));
    some_codes<HalfAway>(x, kBlock, _mm512_set1_ps(id <= 0x1.fffffep127f ? id : 0.0f), y[i].qs);
  }
}

/// Encodes a multiple of 16 blocks. kStream: of 32 blocks, which are 17 lines and go past the
/// caches together; y is then at a line.
template <bool kStream>
[[gnu::noinline]] void blocks_of(const float* x, std::size_t blocks, BlockQ8_0* y) {
  alignas(64) BlockQ8_0 staged[kStream ? 32 : 1];
  alignas(64) f16 d[32];
  unsigned tiny = 0;  // whether 16/d has overflowed where 1/d may not have
  // Flushed one turn later: a load of bytes that several stores have just written waits for them.
  BlockQ8_0* waiting = nullptr;
  const auto flush = [&](BlockQ8_0* to) {
    for (std::size_t j = 0; j < sizeof staged; j += kLineBytes)
      store<true>(reinterpret_cast<char*>(to) + j,
                  _mm512_load_si512(reinterpret_cast<const char*>(staged) + j));
  };
  in_two_passes<kBlock, kStream>(
      x, blocks, [](const float* from) { return absmax_of_4<kBlock>(from); },
      [](const __m512(&four)[4]) { return reduce16(four, greater); },
      [&](std::size_t b, __m512 largest, std::size_t n) {
        const __m512 scale = _mm512_div_ps(largest, _mm512_set1_ps(kMost));
        put_scales(d + b % 32, scale, n);
        const __m512 id = _mm512_div_ps(_mm512_set1_ps(16.0f), scale);
        const __m512 infinity = _mm512_set1_ps(__builtin_inff());
        const __mmask16 finite = _mm512_cmp_ps_mask(id, infinity, _CMP_LT_OQ);
        tiny |=
            _mm512_mask_cmp_ps_mask(__mmask16(~finite), scale, _mm512_setzero_ps(), _CMP_NEQ_OQ);
        return _mm512_maskz_mov_ps(finite, id);
      },
      [&](std::size_t b, const float* id, const float* from) {
        if (kStream && b % 32 == 0) {
          if (waiting) flush(waiting);
          waiting = y + b;
        }
        BlockQ8_0* const to = kStream ? staged + b % 32 : y + b;
#pragma GCC unroll 2
        for (std::size_t i = 0; i < 4; i += 2) {
          const __m512i both =
              codes64_away(from + i * kBlock, broadcast(id + i), broadcast(id + i + 1));
          to[i].d = d[b % 32 + i];
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to[i].qs), _mm512_castsi512_si256(both));
          to[i + 1].d = d[b % 32 + i + 1];
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(to[i + 1].qs),
                              _mm512_extracti64x4_epi64(both, 1));
        }
      });
  if (waiting) flush(waiting);
  if (tiny) [[unlikely]]
    for (std::size_t i = 0; i < blocks; ++i)
      if (y[i].d == f16(0)) blocks_one_by_one(x + i * kBlock, 1, y + i);
}

struct Encoder {
  static void one_by_one(const float* x, std::size_t blocks, BlockQ8_0* y) {
    blocks_one_by_one(x, blocks, y);
  }
  template <bool kStream>
  static void many(const float* x, std::size_t blocks, BlockQ8_0* y) {
    blocks_of<kStream>(x, blocks, y);
  }
};

template <bool kStream>
inline void blocks_back(const BlockQ8_0* x, std::size_t blocks, float* y) {
  with_scales(x, blocks, kBlock, y, [](const BlockQ8_0& block, const float& d, float* to) {
    back32<kStream>(block.qs, _mm512_set1_ps(d), to);
  });
}

}  // namespace

void quantize_f32_q8_0_avx512(const float* x, std::size_t blocks, BlockQ8_0* y) {
  quantize_q8_0<Encoder>(x, blocks, y);
}

void dequantize_q8_0_f32_avx512(const BlockQ8_0* x, std::size_t blocks, float* y) {
  const bool stream = past_caches(blocks * sizeof *x, blocks * kBlock * sizeof *y);
  if (stream && at_line(y))
    blocks_back<true>(x, blocks, y);
  else
    blocks_back<false>(x, blocks, y);
  if (stream) _mm_sfence();
}

}  // namespace qb::quantize
