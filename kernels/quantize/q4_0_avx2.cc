// SPDX-License-Identifier: Apache-2.0
// q4_0, AVX2 + F16C. Two trees of integer maxima find the extremes of either sign, eight blocks at
// once: a Zen 4 has integer maxima on all four pipes, float maxima on the two that convert.
#include "quantize/kernels.h"
#include "quantize/s4_avx2.h"

namespace qb::quantize {
namespace {

/// For a block whose largest magnitude occurs with both signs: the sign of the first.
[[gnu::noinline]] float first_extreme(const float* x, float largest) {
  unsigned positive = 0, negative = 0;
  for (int i = 0; i < 4; ++i) {
    const __m256 v = _mm256_loadu_ps(x + 8 * i);
    positive |= unsigned(_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_set1_ps(largest), _CMP_EQ_OQ)))
                << 8 * i;
    negative |= unsigned(_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_set1_ps(-largest), _CMP_EQ_OQ)))
                << 8 * i;
  }
  const unsigned first = (positive | negative) & (0u - (positive | negative));
  return first & negative ? -largest : largest;
}

/// The values of largest magnitude of either sign, as integers. The largest signed integer is the
/// largest positive value, the largest unsigned integer the most negative one. Where one sign is
/// missing, both are of the other sign.
struct Extremes {
  __m256i positive, negative;
};
inline __m256i positive_of(__m256i a, __m256i b) { return _mm256_max_epi32(a, b); }
inline __m256i negative_of(__m256i a, __m256i b) { return _mm256_max_epu32(a, b); }

/// Of four blocks, in each half.
inline __attribute__((always_inline)) Extremes extremes_of_4(const float* x) {
  const auto reduce = [=](auto op) {
    __m256i g[4];
    for (std::size_t i = 0; i < 4; ++i) {
      const float* const b = x + kBlock * i;
      g[i] = op(op(load(b), load(b + 8)), op(load(b + 16), load(b + 24)));
    }
    return reduce4(g[0], g[1], g[2], g[3], op);
  };
  return {reduce(positive_of), reduce(negative_of)};
}

/// Of eight, one a lane.
struct Extremes8 {
  __m256 positive, negative;
};
inline Extremes8 extremes_of_8(const Extremes& low, const Extremes& high) {
  return {reduce8(low.positive, high.positive, positive_of),
          reduce8(low.negative, high.negative, negative_of)};
}

/// d and 1/d (0 where it is not finite) of eight blocks at x.
struct FactorsQ4_0 {
  __m256 d, id;
  FactorsQ4_0(const Extremes8& e, const float* x) {
    const __m256 zero = _mm256_setzero_ps(), sign = _mm256_set1_ps(-0.0f);
    const __m256 sum = _mm256_add_ps(e.positive, e.negative);  // of both signs: its sign decides
    // Adding 0 makes -0 a +0, as a block of zeros has it.
    __m256 extreme = _mm256_add_ps(_mm256_blendv_ps(e.positive, e.negative, sum), zero);
    int ties = _mm256_movemask_ps(_mm256_and_ps(_mm256_cmp_ps(sum, zero, _CMP_EQ_OQ),
                                                _mm256_cmp_ps(extreme, zero, _CMP_NEQ_OQ)));
    if (__builtin_expect(ties != 0, 0)) {
      alignas(32) float each[8];
      _mm256_store_ps(each, extreme);
      for (; ties; ties &= ties - 1) {
        const auto b = std::size_t(__builtin_ctz(unsigned(ties)));
        each[b] = first_extreme(x + kBlock * b, __builtin_fabsf(each[b]));
      }
      extreme = _mm256_load_ps(each);
    }
    d = _mm256_mul_ps(extreme, _mm256_set1_ps(-0.125f));
    // A block of zeros, or of a lane to spare, has the code 8 whatever id is: 1 divides nothing by
    // 0. By bits, since clang would divide first and blend the quotients.
    const __m256 one = _mm256_set1_ps(1.0f);
    const __m256 divisor = _mm256_or_ps(d, _mm256_and_ps(_mm256_cmp_ps(d, zero, _CMP_EQ_OQ), one));
    id = _mm256_div_ps(one, divisor);
    const __m256 finite =
        _mm256_cmp_ps(_mm256_andnot_ps(sign, id), _mm256_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    id = _mm256_and_ps(id, finite);
  }
};

/// Sixteen times the codes of 16 elements, with four bits of fraction, before their limit, as
/// words: 0-3 8-11 | 4-7 12-15. The FMA rounds as the sum of the product and 8.5.
inline __m256i words_q4_0(const float* x, __m256 id) {
  const auto words = [=](const float* p) {
    return _mm256_cvttps_epi32(_mm256_fmadd_ps(_mm256_mul_ps(_mm256_loadu_ps(p), id),
                                               _mm256_set1_ps(16.0f), _mm256_set1_ps(136.0f)));
  };
  return _mm256_packus_epi32(words(x), words(x + 8));
}

/// The bytes of two blocks. Packing saturates: 15 and all of the fraction.
inline __m256i bytes_q4_0(const float* x, __m256 first, __m256 second) {
  const __m256i low = _mm256_packus_epi16(words_q4_0(x, first), words_q4_0(x + kBlock, second));
  const __m256i high =
      _mm256_packus_epi16(words_q4_0(x + 16, first), words_q4_0(x + kBlock + 16, second));
  const __m256i low_nibbles = _mm256_set1_epi8(15);
  const __m256i bytes = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(low, 4), low_nibbles),
                                        _mm256_andnot_si256(low_nibbles, high));
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// A multiple of 16 blocks. kFar: as in in_two_passes.
template <bool kFar>
[[gnu::noinline]] void quantize_q4_0(const float* x, std::size_t blocks, BlockQ4_0* y) {
  alignas(16) f16 d[16];
  in_two_passes<kBlock, kFar>(
      x, blocks, [](const float* from) { return extremes_of_4(from); }, extremes_of_8,
      [&](std::size_t b, const Extremes8& extremes, std::size_t) {
        const FactorsQ4_0 factors(extremes, x + b * kBlock);
        put_scales(d + b % 16, factors.d, 8);
        return factors.id;
      },
      [&](std::size_t b, const float* id, const float* from) {
        for (std::size_t i = 0; i < 4; i += 2, from += 2 * kBlock) {
          const __m256i both =
              bytes_q4_0(from, _mm256_broadcast_ss(id + i), _mm256_broadcast_ss(id + i + 1));
          BlockQ4_0* const to = y + b + i;
          to[0].d = d[b % 16 + i];
          _mm_storeu_si128(reinterpret_cast<__m128i*>(to[0].qs), _mm256_castsi256_si128(both));
          to[1].d = d[b % 16 + i + 1];
          _mm_storeu_si128(reinterpret_cast<__m128i*>(to[1].qs), _mm256_extracti128_si256(both, 1));
        }
      });
}

/// Sixteen values of eight bytes: elements 0-7 (low nibbles) and 16-23 (high), or 8-15 and 24-31.
template <bool streamed>
inline void decode_q4_0(const std::uint8_t* qs, __m256 scale, float* low, float* high) {
  std::int64_t eight;
  __builtin_memcpy(&eight, qs, sizeof eight);
  // Byte i to the top of lane i. There a nibble n with its sign bit flipped reads (n - 8) * 2^28,
  // and the scale carries the 2^-28: exact, for d is an f16.
  const __m256i top = _mm256_setr_epi8(-1, -1, -1, 0, -1, -1, -1, 1, -1, -1, -1, 2, -1, -1, -1, 3,
                                       -1, -1, -1, 4, -1, -1, -1, 5, -1, -1, -1, 6, -1, -1, -1, 7);
  const __m256i bytes = _mm256_xor_si256(_mm256_shuffle_epi8(_mm256_set1_epi64x(eight), top),
                                         _mm256_set1_epi32(int(0x88000000u)));
  const __m256i low_codes = _mm256_slli_epi32(bytes, 4);
  const __m256i high_codes = _mm256_and_si256(bytes, _mm256_set1_epi32(int(0xf0000000u)));
  store<streamed>(low, _mm256_mul_ps(_mm256_cvtepi32_ps(low_codes), scale));
  store<streamed>(high, _mm256_mul_ps(_mm256_cvtepi32_ps(high_codes), scale));
}

template <bool streamed>
inline void dequantize_q4_0(const BlockQ4_0* x, std::size_t blocks, float* y) {
  for (std::size_t i = 0; i < blocks; ++i, y += kBlock) {
    const __m256 scale = prescaled8(_mm_set1_epi16(short(static_cast<std::uint16_t>(x[i].d))));
    decode_q4_0<streamed>(x[i].qs, scale, y, y + 16);
    decode_q4_0<streamed>(x[i].qs + 8, scale, y + 8, y + 24);
  }
  if (streamed) _mm_sfence();
}

}  // namespace

void quantize_f32_q4_0_avx2(const float* x, std::size_t blocks, BlockQ4_0* y) {
  const std::size_t done = blocks / 16 * 16;
  if (done)
    past_caches(blocks * kBlock * sizeof *x, blocks * sizeof *y) ? quantize_q4_0<true>(x, done, y)
                                                                 : quantize_q4_0<false>(x, done, y);
  if (done < blocks) {
    float rest[16 * kBlock] = {};
    BlockQ4_0 out[16];
    __builtin_memcpy(rest, x + done * kBlock, (blocks - done) * kBlock * sizeof(float));
    quantize_q4_0<false>(rest, 16, out);
    __builtin_memcpy(y + done, out, (blocks - done) * sizeof(BlockQ4_0));
  }
}

void dequantize_q4_0_f32_avx2(const BlockQ4_0* x, std::size_t blocks, float* y) {
  if (streams(y, 1, blocks * kBlock * sizeof *y, blocks * sizeof *x))
    dequantize_q4_0<true>(x, blocks, y);
  else
    dequantize_q4_0<false>(x, blocks, y);
}

}  // namespace qb::quantize
