// SPDX-License-Identifier: Apache-2.0
// s4 of f32 input, and packing, AVX-512. What binds each loop in the first-level cache; further out
// it is memory.
//
//   groups        The two vector pipes: sixteen maxima reduced by one transpose tree, one division
//                 for all (core/avx512.h); then vmulps and vcvtps2dq a vector, and 13 operations
//                 pack eight vectors: vpackssdw, vpacksswb, vpmaddubsw (low + 16*high).
//   dequantize    A table of the sixteen products in one register. vpsrlvd brings nibble i to the
//                 low bits of lane i; vpermps, which ignores the bits above, looks it up. Three
//                 operations for sixteen values, no conversion and no multiplication.
//
// llvm-mca for Sapphire Rapids, whose model has one port for 512-bit floats where the CPU has two:
// 128 codes take 19 cycles, 64 values back 5.5 (bound by shuffles).
//
// No clip is written: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s4_avx512.h"
#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

template <std::size_t kLen, bool kStream, class S>
[[gnu::noinline]] void groups_of(const float* x, std::size_t groups, std::uint8_t* q, S* scale) {
  constexpr std::size_t kVectors = kLen / 16;  // of one group
  in_two_passes<kLen, kStream>(
      x, groups, [](const float* from) { return absmax_of_4<kLen>(from); },
      [](const __m512(&four)[4]) { return reduce16(four, greater); },
      [=](std::size_t g, __m512 largest, std::size_t n) {
        const Factors16 factors(largest, kMost);
        put_scales(scale + g, factors.scale, n);
        return factors.inv;
      },
      [=](std::size_t g, const float* factor, const float* from) {
        std::uint8_t* to = q + g * kLen / 2;
#pragma GCC unroll 4
        for (std::size_t v = 0; v < 4 * kVectors; v += 8, from += kStep, to += kStep / 2) {
          __m512i c[8];
#pragma GCC unroll 8
          for (std::size_t i = 0; i < 8; ++i)
            c[i] = HalfToEven::code(load16(from + 16 * i), broadcast(factor + (v + i) / kVectors));
          store<kStream>(to, pack128(c));
        }
      });
}

template <std::size_t kLen, class S>
inline void groups_of(const float* x, std::size_t groups, std::uint8_t* q, S* scale, bool stream) {
  stream ? groups_of<kLen, true>(x, groups, q, scale) : groups_of<kLen, false>(x, groups, q, scale);
}

template <class S>
inline void quantize(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                     S* scale) {
  const std::size_t stride = (len + 1) / 2;
  const bool far = past_caches(groups * len * sizeof *x, groups * stride);
  const bool lines = far && at_line(q);
  std::size_t done = groups / 16 * 16;
  if (done && len == 32)
    groups_of<32>(x, done, q, scale, lines);
  else if (done && len == 64)
    groups_of<64>(x, done, q, scale, lines);
  else if (done && len == 128)
    groups_of<128>(x, done, q, scale, lines);
  else
    done = 0;
  const bool streamed =
      far && at_line(q + done * stride) && (groups - done == 1 || stride % kLineBytes == 0);
  for (std::size_t i = done; i < groups; ++i) {
    const float* const group = x + i * len;
    const Factors factors(absmax_of_1(group, len), kMost);
    put_scale(scale + i, factors.scale);
    streamed ? encode<true, HalfToEven>(group, len, factors.inv, q + i * stride)
             : encode<false, HalfToEven>(group, len, factors.inv, q + i * stride);
  }
  if (far) _mm_sfence();
}

// ---- back

/// Sixteen results of eight bytes. Lanes 0-7 see the first four of them, the others the last four.
inline __m512 decode16(const std::uint8_t* q, __m512 table) {
  const __m512i to_the_low =
      _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28);
  const __m512i first = _mm512_broadcastd_epi32(_mm_loadu_si32(q));
  const __m512i both = _mm512_mask_broadcastd_epi32(first, 0xff00, _mm_loadu_si32(q + 4));
  return _mm512_permutexvar_ps(_mm512_srlv_epi32(both, to_the_low), table);
}

template <bool kStream>
inline void decode32(const std::uint8_t* q, __m512 table, float* y) {
  store<kStream>(y, _mm512_castps_si512(decode16(q, table)));
  store<kStream>(y + 16, _mm512_castps_si512(decode16(q + 8, table)));
}

template <bool kStream>
inline void decode(const std::uint8_t* q, std::size_t len, __m512 table, float* y) {
  std::size_t j = 0;
  for (; j + 64 <= len; j += 64) {
    decode32<kStream>(q + j / 2, table, y + j);
    decode32<kStream>(q + j / 2 + 16, table, y + j + 32);
  }
  for (; j + 32 <= len; j += 32) decode32<kStream>(q + j / 2, table, y + j);
  if (j < len) {
    alignas(16) std::uint8_t bytes[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(bytes),
                    _mm_maskz_loadu_epi8(first16((len - j + 1) / 2), q + j / 2));
    _mm512_mask_storeu_ps(y + j, first16(len - j), decode16(bytes, table));
    if (j + 16 < len)
      _mm512_mask_storeu_ps(y + j + 16, first16(len - j - 16), decode16(bytes + 8, table));
  }
}

inline float wide(float scale) { return scale; }
inline float wide(f16 scale) { return widened(scale); }

template <bool kStream, class S>
inline void dequantize(const std::uint8_t* q, std::size_t groups, std::size_t len, const S* scale,
                       float* y) {
  const __m512 codes = codes_by_nibble();
  const std::size_t stride = (len + 1) / 2;
  std::size_t i = 0;
  if constexpr (sizeof(S) == sizeof(f16))
    if (len == 32)  // the scales of sixteen groups at once
      for (; i + 16 <= groups; i += 16) {
        alignas(64) float factor[16];
        _mm512_store_ps(factor, load16(scale + i));
        for (std::size_t g = 0; g < 16; ++g)
          decode32<kStream>(q + 16 * (i + g), _mm512_mul_ps(codes, broadcast(factor + g)),
                            y + 32 * (i + g));
      }
  for (; i < groups; ++i)
    decode<kStream>(q + i * stride, len, _mm512_mul_ps(codes, _mm512_set1_ps(wide(scale[i]))),
                    y + i * len);
  if (kStream) _mm_sfence();
}

template <class S>
inline void dequantize(const std::uint8_t* q, std::size_t groups, std::size_t len, const S* scale,
                       float* y) {
  const std::size_t bytes = len * sizeof(float);
  if (streams(y, groups, bytes, (len + 1) / 2))
    dequantize<true>(q, groups, len, scale, y);
  else
    dequantize<false>(q, groups, len, scale, y);
}

// ---- layout

/// 64 bytes of 128 codes, the first 64 in `a`.
inline __m512i pack128(__m512i a, __m512i b) {
  const __m512i low_nibble = _mm512_set1_epi8(15), weights = _mm512_set1_epi16(0x1001);
  const __m512i low = _mm512_maddubs_epi16(_mm512_and_si512(a, low_nibble), weights);
  const __m512i high = _mm512_maddubs_epi16(_mm512_and_si512(b, low_nibble), weights);
  return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7),
                                  _mm512_packus_epi16(low, high));
}

template <bool kStream>
inline void pack(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  std::size_t j = 0;
  for (; j + kStep <= n; j += kStep)
    store<kStream>(packed + j / 2,
                   pack128(_mm512_loadu_si512(q + j), _mm512_loadu_si512(q + j + 64)));
  if (kStream) _mm_sfence();
  if (j < n) {
    const __m512i a = _mm512_maskz_loadu_epi8(first64(n - j), q + j);
    const __m512i b = _mm512_maskz_loadu_epi8(first64(beyond(n - j, 64)), q + j + 64);
    _mm512_mask_storeu_epi8(packed + j / 2, first64((n - j + 1) / 2), pack128(a, b));
  }
}

/// 64 codes of 32 bytes: a byte's nibbles to a word's bytes, where vpshufb extends their signs.
inline __m512i unpack64(__m256i packed) {
  const __m512i code =
      _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1));
  const __m512i words = _mm512_cvtepu8_epi16(packed);
  // 0xa8: (words | shifted) & mask; what is shifted in there is not in the way.
  const __m512i nibbles = _mm512_ternarylogic_epi32(_mm512_slli_epi16(words, 4), words,
                                                    _mm512_set1_epi16(0x0f0f), 0xa8);
  return _mm512_shuffle_epi8(code, nibbles);
}

template <bool kStream>
inline void unpack(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  std::size_t j = 0;
  for (; j + 64 <= n; j += 64)
    store<kStream>(q + j,
                   unpack64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(packed + j / 2))));
  if (kStream) _mm_sfence();
  if (j < n)
    _mm512_mask_storeu_epi8(
        q + j, first64(n - j),
        unpack64(_mm256_maskz_loadu_epi8(first32((n - j + 1) / 2), packed + j / 2)));
}

}  // namespace

void quantize_f32_s4_avx512(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                            float* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f32_s4g_avx512(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                             f16* scale) {
  quantize(x, groups, len, q, scale);
}

void dequantize_s4_f32_avx512(const std::uint8_t* q, std::size_t groups, std::size_t len,
                              const float* scale, float* y) {
  dequantize(q, groups, len, scale, y);
}

void dequantize_s4g_f32_avx512(const std::uint8_t* q, std::size_t groups, std::size_t len,
                               const f16* scale, float* y) {
  dequantize(q, groups, len, scale, y);
}

void pack_s4_avx512(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  if (streams(packed, 1, n / 2, n))
    pack<true>(q, n, packed);
  else
    pack<false>(q, n, packed);
}

void unpack_s4_avx512(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  if (streams(q, 1, n, n / 2))
    unpack<true>(packed, n, q);
  else
    unpack<false>(packed, n, q);
}

}  // namespace qb::quantize
