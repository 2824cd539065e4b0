// SPDX-License-Identifier: Apache-2.0
// q8_0, AVX2 + F16C. As groups of 32 in s8_avx2.cc, with two operations more that round 16 words at
// a time, half away from zero. 32 elements take 6 cycles at best on a Zen 4.
#include "quantize/s8_avx2.h"

#include "quantize/kernels.h"
#include "quantize/q8_0_x86.h"

namespace qb::quantize {
namespace {

/// 32 codes, `factor` being 16/d. Of n, a product's sixteenths truncated, vpmulhrsw by 2049 makes
/// (2048 n + n + 2^14) >> 15: n/16 rounded, and halves up, but for the single n. That is less than
/// 2048, so it counts only at a half, and takes a negative one down.
inline __m256i codes32_away(const float* x, __m256 factor) {
  const auto sixteenths = [=](std::size_t j) {
    return _mm256_cvttps_epi32(_mm256_mul_ps(load8(x + j), factor));
  };
  const auto words = [=](std::size_t j) {
    return _mm256_mulhrs_epi16(_mm256_packs_epi32(sixteenths(j), sixteenths(j + 8)),
                               _mm256_set1_epi16(2049));
  };
  return in_order(_mm256_packs_epi16(words(0), words(16)));
}

inline void blocks_one_by_one(const float* x, std::size_t blocks, BlockQ8_0* y) {
  for (std::size_t i = 0; i < blocks; ++i, x += kBlock) {
    const float d = absmax(x, kBlock) / 127.0f;
    const float id = 1.0f / d;
    y[i].d = f16(narrowed(d));
    const __m256 factor = _mm256_set1_ps(id <= 0x1.fffffep127f ? id : 0.0f);
    store<false>(y[i].qs, codes32<HalfAway>(x, factor));
  }
}

/// Encodes a multiple of 16 blocks. kStream: of 32 blocks, which are 34 vectors and go past the
/// caches together; y is then at a cache line.
template <bool kStream>
[[gnu::noinline]] void blocks_of(const float* x, std::size_t blocks, BlockQ8_0* y) {
  alignas(64) BlockQ8_0 staged[kStream ? 32 : 1];
  alignas(16) std::uint16_t d[16];
  int tiny = 0;  // whether 16/d has overflowed where 1/d may not have
  // Flushed one turn later: a load of bytes that several stores have just written waits for them.
  BlockQ8_0* waiting = nullptr;
  const auto flush = [&](BlockQ8_0* to) {
    for (std::size_t j = 0; j < sizeof staged; j += 32)
      store<true>(reinterpret_cast<char*>(to) + j,
                  _mm256_load_si256(
                      reinterpret_cast<const __m256i*>(reinterpret_cast<const char*>(staged) + j)));
  };
  in_two_passes<kBlock, kStream>(
      x, blocks, [](const float* from) { return absmax_of_4<kBlock, kStream>(from); },
      [](__m256i low, __m256i high) { return reduce8(low, high, greater); },
      [&](std::size_t b, __m256 largest, std::size_t) {
        const __m256 scale = _mm256_div_ps(largest, _mm256_set1_ps(127.0f));
        _mm_store_si128(reinterpret_cast<__m128i*>(d + b % 16),
                        _mm256_cvtps_ph(scale, _MM_FROUND_TO_NEAREST_INT));
        const __m256 id = finite_or_zero(_mm256_div_ps(_mm256_set1_ps(16.0f), scale));
        const __m256 zero = _mm256_setzero_ps();
        tiny |= _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(id, zero, _CMP_EQ_OQ),
                                                 _mm256_cmp_ps(scale, zero, _CMP_NEQ_OQ)));
        return id;
      },
      [&](std::size_t b, const float* id, const float* from) {
        if (kStream && b % 32 == 0) {
          if (waiting) flush(waiting);
          waiting = y + b;
        }
        BlockQ8_0* const to = kStream ? staged + b % 32 : y + b;
        for (std::size_t i = 0; i < 4; ++i, from += kBlock) {
          to[i].d = f16(d[b % 16 + i]);
          store<false>(to[i].qs, codes32_away(from, _mm256_broadcast_ss(id + i)));
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
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock)
    back32<kStream>(x[i].qs, broadcast(x[i].d), y);
}

}  // namespace

void quantize_f32_q8_0_avx2(const float* x, std::size_t blocks, BlockQ8_0* y) {
  quantize_q8_0<Encoder>(x, blocks, y);
}

void dequantize_q8_0_f32_avx2(const BlockQ8_0* x, std::size_t blocks, float* y) {
  const bool stream = past_caches(blocks * sizeof *x, blocks * kBlock * sizeof *y);
  if (stream && aligned(y, 32))
    blocks_back<true>(x, blocks, y);
  else
    blocks_back<false>(x, blocks, y);
  if (stream) _mm_sfence();
}

}  // namespace qb::quantize
