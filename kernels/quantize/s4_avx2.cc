// SPDX-License-Identifier: Apache-2.0
// s4 of f32 input, and packing, AVX2.
//
//   quantize     A maximum of absolute values; then vmulps and vcvtps2dq (its rounding is rne) and
//                three levels of packing: vpackssdw, vpacksswb, vpmaddubsw (low + 16*high).
//   groups       The maxima of eight groups at once by a transpose tree, one vdivps for all eight,
//                ahead of the codes (core/avx2.h).
//   dequantize   vpbroadcastd of four bytes puts eight nibbles into every lane; vpsllvd and vpsrad
//                leave lane i the i-th of them, sign-extended; vcvtdq2ps and vmulps.
//
// No clip is written: |x| <= absmax makes |x*inv| at most 7 and two roundings, which is 7 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s4_avx2.h"
#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

// ---- absmax

inline __m256 magnitude(__m256 v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }

inline float absmax(const float* x, std::size_t len) {
  __m256 a[8];
  for (auto& v : a) v = _mm256_setzero_ps();
  std::size_t j = 0;
  if (len * sizeof *x >= kStreamBytes) {
    const FarMaxima far = far_maxima(x, len);
    a[0] = _mm256_castsi256_ps(far.most), j = far.done;
  }
  for (; j + 64 <= len; j += 64)
    for (std::size_t i = 0; i < 8; ++i)
      a[i] = _mm256_max_ps(a[i], magnitude(_mm256_loadu_ps(x + j + 8 * i)));
  for (; j + 8 <= len; j += 8) a[0] = _mm256_max_ps(a[0], magnitude(_mm256_loadu_ps(x + j)));
  for (std::size_t step = 4; step; step /= 2)
    for (std::size_t i = 0; i < step; ++i) a[i] = _mm256_max_ps(a[i], a[i + step]);
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(a[0]), _mm256_extractf128_ps(a[0], 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  m = _mm_max_ps(m, _mm_movehdup_ps(m));
  float largest = _mm_cvtss_f32(m);
  for (; j < len; ++j) {
    const float e = __builtin_fabsf(x[j]);
    largest = e > largest ? e : largest;
  }
  return largest;
}

inline __m256i codes64(const float* x, __m256 inv) {
  __m256i c[8];
  for (int i = 0; i < 8; ++i)
    c[i] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), inv));
  return pack64(c);
}

/// inv and scale of eight groups; both 0 where inv is not finite, as in a group of zeros.
struct Factors {
  __m256 inv, scale;
  explicit Factors(__m256 largest) {
    const __m256 seven = _mm256_set1_ps(7.0f);
    const __m256 quotient = _mm256_div_ps(seven, largest);
    const __m256 finite = _mm256_cmp_ps(quotient, _mm256_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    inv = _mm256_and_ps(quotient, finite);
    scale = _mm256_and_ps(_mm256_div_ps(largest, seven), finite);
  }
};

template <std::size_t kLen, bool kStream, class S>
[[gnu::noinline]] void groups_of(const float* x, std::size_t groups, std::uint8_t* q, S* scale) {
  constexpr std::size_t kVectors = kLen / 8;  // of one group
  in_two_passes<kLen, kStream>(
      x, groups, [](const float* from) { return absmax_of_4<kLen, kStream>(from); },
      [](__m256i low, __m256i high) { return reduce8(low, high, greater); },
      [=](std::size_t g, __m256 largest, std::size_t n) {
        const Factors factors(largest);
        put_scales(scale + g, factors.scale, n);
        return factors.inv;
      },
      [=](std::size_t g, const float* factor, const float* from) {
        std::uint8_t* to = q + g * kLen / 2;
        for (std::size_t v = 0; v < 4 * kVectors; v += 8, from += kStep, to += kStep / 2) {
          __m256i c[8];
          for (std::size_t i = 0; i < 8; ++i)
            c[i] = _mm256_cvtps_epi32(_mm256_mul_ps(
                _mm256_loadu_ps(from + 8 * i), _mm256_broadcast_ss(factor + (v + i) / kVectors)));
          store<kStream>(to, pack64(c));
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
  const bool streamed = streams(q, groups, stride, len * sizeof *x);
  const bool lines = streams(q, 1, groups * stride, groups * len * sizeof *x);
  std::size_t done = groups / 16 * 16;
  if (done && len == 32)
    groups_of<32>(x, done, q, scale, lines);
  else if (done && len == 64)
    groups_of<64>(x, done, q, scale, lines);
  else if (done && len == 128)
    groups_of<128>(x, done, q, scale, lines);
  else
    done = 0;
  for (std::size_t i = done; i < groups; ++i) {
    const float* const group = x + i * len;
    const Factors factors(_mm256_set1_ps(absmax(group, len)));
    put_scale(scale + i, factors.scale);
    const auto codes = [&](const float* from) { return codes64(from, factors.inv); };
    if (streamed)
      encode<true>(group, len, codes, q + i * stride);
    else
      encode<false>(group, len, codes, q + i * stride);
  }
  if (streamed || lines) _mm_sfence();
}

// ---- back

/// Eight codes of four bytes, each times the scale. Lane i gets nibble i at its top, as
/// code * 2^28. A scale that carries the 2^-28 saves the shift that would sign-extend; it does if
/// that is exact, as for every f16.
template <bool prescaled>
inline __m256 decode8(const std::uint8_t* q, __m256 scale) {
  std::int32_t word;
  __builtin_memcpy(&word, q, sizeof word);
  const __m256i to_the_top = _mm256_setr_epi32(28, 24, 20, 16, 12, 8, 4, 0);
  const __m256i top = _mm256_sllv_epi32(_mm256_set1_epi32(word), to_the_top);
  const __m256i codes = prescaled ? _mm256_and_si256(top, _mm256_set1_epi32(int(0xf0000000u)))
                                  : _mm256_srai_epi32(top, 28);
  return _mm256_mul_ps(_mm256_cvtepi32_ps(codes), scale);
}

template <bool streamed, bool prescaled>
inline void decode32(const std::uint8_t* q, __m256 scale, float* y) {
  for (std::size_t i = 0; i < 4; ++i)
    store<streamed>(y + 8 * i, decode8<prescaled>(q + 4 * i, scale));
}

template <bool streamed, bool prescaled>
inline void decode(const std::uint8_t* q, std::size_t len, __m256 scale, float* y) {
  std::size_t j = 0;
  for (; j + 64 <= len; j += 64) {
    decode32<streamed, prescaled>(q + j / 2, scale, y + j);
    decode32<streamed, prescaled>(q + j / 2 + 16, scale, y + j + 32);
  }
  for (; j + 32 <= len; j += 32) decode32<streamed, prescaled>(q + j / 2, scale, y + j);
  if (j < len) {
    std::uint8_t bytes[16] = {};
    float rest[32];
    __builtin_memcpy(bytes, q + j / 2, (len - j + 1) / 2);
    decode32<false, prescaled>(bytes, scale, rest);
    __builtin_memcpy(y + j, rest, (len - j) * sizeof(float));
  }
}

template <bool streamed>
inline void dequantize(const std::uint8_t* q, std::size_t groups, std::size_t len,
                       const float* scale, float* y) {
  const std::size_t stride = (len + 1) / 2;
  for (std::size_t i = 0; i < groups; ++i) {
    // An ordinary scale takes the way of the f16 ones.
    if (scale[i] >= 0x1p-90f)
      decode<streamed, true>(q + i * stride, len, _mm256_set1_ps(scale[i] * 0x1p-28f), y + i * len);
    else
      decode<streamed, false>(q + i * stride, len, _mm256_set1_ps(scale[i]), y + i * len);
  }
  if (streamed) _mm_sfence();
}

template <bool streamed>
inline void dequantize(const std::uint8_t* q, std::size_t groups, std::size_t len, const f16* scale,
                       float* y) {
  const std::size_t stride = (len + 1) / 2;
  std::size_t i = 0;
  if (len == 32)  // the scales of eight groups at once
    for (; i + 8 <= groups; i += 8) {
      alignas(32) float factor[8];
      _mm256_store_ps(factor, prescaled8(load128(scale + i)));
      for (std::size_t g = 0; g < 8; ++g)
        decode32<streamed, true>(q + 16 * (i + g), _mm256_broadcast_ss(factor + g),
                                 y + 32 * (i + g));
    }
  for (; i < groups; ++i) {
    const __m128i half = _mm_set1_epi16(short(static_cast<std::uint16_t>(scale[i])));
    decode<streamed, true>(q + i * stride, len, prescaled8(half), y + i * len);
  }
  if (streamed) _mm_sfence();
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

inline __m256i pack_pairs(const std::int8_t* q) {
  const __m256i low_nibble = _mm256_set1_epi8(15), weights = _mm256_set1_epi16(0x1001);
  return _mm256_maddubs_epi16(_mm256_and_si256(load(q), low_nibble), weights);
}

/// 32 bytes of 64 codes.
inline __m256i pack64(const std::int8_t* q) {
  return _mm256_permute4x64_epi64(_mm256_packus_epi16(pack_pairs(q), pack_pairs(q + 32)), 0xd8);
}

template <bool streamed>
inline void pack(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  std::size_t j = 0;
  for (; j + 2 * kStep <= n; j += 2 * kStep) {
    store<streamed>(packed + j / 2, pack64(q + j));
    store<streamed>(packed + j / 2 + 32, pack64(q + j + kStep));
  }
  if (streamed) _mm_sfence();
  for (; j + kStep <= n; j += kStep) store<false>(packed + j / 2, pack64(q + j));
  if (j < n) {
    std::int8_t rest[kStep] = {};
    std::uint8_t bytes[kStep / 2];
    __builtin_memcpy(rest, q + j, n - j);
    store<false>(bytes, pack64(rest));
    __builtin_memcpy(packed + j / 2, bytes, (n - j + 1) / 2);
  }
}

/// 64 codes of 32 bytes: vpshufb maps a nibble to its sign-extended code.
template <bool streamed>
inline void unpack64(const std::uint8_t* packed, std::int8_t* q) {
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i code = _mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1,  //
                                        0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1);
  // Bytes 0-7 and 8-15 in the low quarters of the halves, for unpacking works within halves.
  const __m256i bytes = _mm256_permute4x64_epi64(load(packed), 0xd8);
  const __m256i even = _mm256_shuffle_epi8(code, _mm256_and_si256(bytes, nibble));
  const __m256i odd =
      _mm256_shuffle_epi8(code, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble));
  store<streamed>(q, _mm256_unpacklo_epi8(even, odd));
  store<streamed>(q + 32, _mm256_unpackhi_epi8(even, odd));
}

template <bool streamed>
inline void unpack(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  std::size_t j = 0;
  for (; j + kStep <= n; j += kStep) unpack64<streamed>(packed + j / 2, q + j);
  if (streamed) _mm_sfence();
  if (j < n) {
    std::uint8_t bytes[kStep / 2] = {};
    std::int8_t rest[kStep];
    __builtin_memcpy(bytes, packed + j / 2, (n - j + 1) / 2);
    unpack64<false>(bytes, rest);
    __builtin_memcpy(q + j, rest, n - j);
  }
}

}  // namespace

void quantize_f32_s4_avx2(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                          float* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f32_s4g_avx2(const float* x, std::size_t groups, std::size_t len, std::uint8_t* q,
                           f16* scale) {
  quantize(x, groups, len, q, scale);
}

void dequantize_s4_f32_avx2(const std::uint8_t* q, std::size_t groups, std::size_t len,
                            const float* scale, float* y) {
  dequantize(q, groups, len, scale, y);
}

void dequantize_s4g_f32_avx2(const std::uint8_t* q, std::size_t groups, std::size_t len,
                             const f16* scale, float* y) {
  dequantize(q, groups, len, scale, y);
}

void pack_s4_avx2(const std::int8_t* q, std::size_t n, std::uint8_t* packed) {
  if (streams(packed, 1, n / 2, n))
    pack<true>(q, n, packed);
  else
    pack<false>(q, n, packed);
}

void unpack_s4_avx2(const std::uint8_t* packed, std::size_t n, std::int8_t* q) {
  if (streams(q, 1, n, n / 2))
    unpack<true>(packed, n, q);
  else
    unpack<false>(packed, n, q);
}

}  // namespace qb::quantize
