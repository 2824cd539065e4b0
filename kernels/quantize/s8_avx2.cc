// SPDX-License-Identifier: Apache-2.0
// s8, AVX2 + F16C.
//
// The maxima of groups of 32, 64 and 128 are reduced eight at a time by one transpose tree into one
// vector, lane i for group i. One division then serves all eight, ahead of the codes
// (core/avx2.h). 32 elements take 10 operations for the maximum and 12 for the codes: 4
// multiplications, 4 conversions and 4 shuffles, each on two of a Zen 4's four pipes. That is 5.5
// cycles at best.
//
// No clip is written: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is 127 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s8_avx2.h"

#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

inline float load1(const float* x) { return *x; }
inline float load1(const f16* x) { return _cvtsh_ss(static_cast<std::uint16_t>(*x)); }

// The loops below are functions of their own on purpose: inlined together they run out of
// registers.

// ---- codes

template <class Rounding, class T>
inline void codes8(const T* x, __m256 inv, std::int8_t* q) {
  const __m256i words = Rounding::code(load8(x), inv);
  const __m128i pairs =
      _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(q), _mm_packs_epi16(pairs, pairs));
}

/// Codes of one run. A tail is done by the last whole vector once more, at the very end.
template <class Rounding, class T>
[[gnu::noinline]] void codes(const T* x, std::size_t len, float factor, std::int8_t* q,
                             bool stream) {
  const __m256 inv = _mm256_set1_ps(factor);
  std::size_t j = 0;
  if (len >= 32) {
    if (stream) {
      for (; !aligned(q + j, 32); ++j) q[j] = std::int8_t(Rounding::code(load1(x + j), factor));
      for (; j + 32 <= len; j += 32) store<true>(q + j, codes32<Rounding>(x + j, inv));
    } else {
      for (; j + 32 <= len; j += 32) store<false>(q + j, codes32<Rounding>(x + j, inv));
    }
    if (j < len) store<false>(q + len - 32, codes32<Rounding>(x + len - 32, inv));
  } else if (len >= 8) {
    for (; j + 8 <= len; j += 8) codes8<Rounding>(x + j, inv, q + j);
    if (j < len) codes8<Rounding>(x + len - 8, inv, q + len - 8);
  } else {
    for (; j < len; ++j) q[j] = std::int8_t(Rounding::code(load1(x + j), factor));
  }
}

// ---- factors and scales

/// The first n, 8 or 4.
inline void store_scales(float* to, __m256 scale, std::size_t n) {
  if (n == 4)
    _mm_storeu_ps(to, _mm256_castps256_ps128(scale));
  else
    _mm256_storeu_ps(to, scale);
}
inline void store_scales(f16* to, __m256 scale, std::size_t n) {
  const __m128i halves = _mm256_cvtps_ph(scale, _MM_FROUND_TO_NEAREST_INT);
  if (n == 4)
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), halves);
  else
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), halves);
}
inline void store_scale(float* to, float scale) { *to = scale; }
inline void store_scale(f16* to, float scale) { *to = f16(narrowed(scale)); }

template <std::size_t kLen, bool kStream, class S>
[[gnu::noinline]] void groups_of(const float* x, std::size_t groups, std::int8_t* q, S* scale) {
  in_two_passes<kLen, kStream>(
      x, groups, [](const float* from) { return absmax_of_4<kLen, kStream>(from); },
      [](__m256i low, __m256i high) { return reduce8(low, high, greater); },
      [=](std::size_t g, __m256 largest, std::size_t n) {
        const __m256 qmax = _mm256_set1_ps(127.0f);
        const __m256 inv = finite_or_zero(_mm256_div_ps(qmax, largest));
        const __m256 used = _mm256_cmp_ps(inv, _mm256_setzero_ps(), _CMP_NEQ_OQ);
        store_scales(scale + g, _mm256_and_ps(used, _mm256_div_ps(largest, qmax)), n);
        return inv;
      },
      [=](std::size_t g, const float* factor, const float* from) {
        std::int8_t* to = q + g * kLen;
        for (std::size_t i = 0; i < 4; ++i) {
          const __m256 inv = _mm256_broadcast_ss(factor + i);
          for (std::size_t j = 0; j < kLen; j += 32, from += 32, to += 32)
            store<kStream>(to, codes32<HalfToEven>(from, inv));
        }
      });
}

template <std::size_t kLen, class S>
inline void groups_of(const float* x, std::size_t groups, std::int8_t* q, S* scale, bool stream) {
  stream ? groups_of<kLen, true>(x, groups, q, scale) : groups_of<kLen, false>(x, groups, q, scale);
}

template <class S>
inline void quantize(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                     S* scale) {
  const bool stream = past_caches(groups * len * sizeof *x, groups * len);
  const bool lines = stream && aligned(q, 32);
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
    const float largest = absmax(group, len);
    float inv = 127.0f / largest;
    inv = inv <= 0x1.fffffep127f ? inv : 0.0f;
    store_scale(scale + i, inv != 0.0f ? largest / 127.0f : 0.0f);
    codes<HalfToEven>(group, len, inv, q + i * len, stream && len >= kStreamRun);
  }
  if (stream) _mm_sfence();
}

// ---- back

/// One run. A tail is done by the last whole vector once more, at the very end.
template <class Y>
inline void back(const std::int8_t* q, std::size_t len, float factor, Y* y, bool stream) {
  const __m256 scale = _mm256_set1_ps(factor);
  std::size_t j = 0;
  if (len >= 32) {
    if (stream) {
      for (; !aligned(y + j, 8 * sizeof(Y)); ++j) store1(y + j, float(q[j]) * factor);
      for (; j + 32 <= len; j += 32) back32<true>(q + j, scale, y + j);
    } else {
      for (; j + 32 <= len; j += 32) back32<false>(q + j, scale, y + j);
    }
  }
  if (len >= 8) {
    for (; j + 8 <= len; j += 8) back8<false>(q + j, scale, y + j);
    if (j < len) back8<false>(q + len - 8, scale, y + len - 8);
  } else {
    for (; j < len; ++j) store1(y + j, float(q[j]) * factor);
  }
}

template <bool kStream>
inline void groups_back(const std::int8_t* q, std::size_t groups, std::size_t len, const f16* scale,
                        float* y) {
  for (std::size_t i = 0; i < groups; ++i) {
    const __m256 factor = broadcast(scale[i]);
    for (std::size_t j = 0; j < len; j += 32, q += 32, y += 32) back32<kStream>(q, factor, y);
  }
}

}  // namespace

void quantize_f32_s8_avx2(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          float* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f32_s8g_avx2(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                           f16* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f16_s8_avx2(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                          f16* inv) {
  const bool stream = past_caches(groups * len * sizeof *x, groups * len) && len >= kStreamRun;
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    const float largest = absmax(x, len);
    float wide = 127.0f / largest;
    wide = wide < 65504.0f ? wide : 65504.0f;
    const auto stored = narrowed(largest == 0.0f ? 0.0f : wide);
    inv[i] = f16(stored);
    codes<ThroughF16>(x, len, _cvtsh_ss(stored), q, stream);
  }
  if (stream) _mm_sfence();
}

void dequantize_s8_f32_avx2(const std::int8_t* q, std::size_t groups, std::size_t len,
                            const float* scale, float* y) {
  const bool stream = past_caches(groups * len, groups * len * sizeof *y) && len >= kStreamRun;
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) back(q, len, scale[i], y, stream);
  if (stream) _mm_sfence();
}

void dequantize_s8g_f32_avx2(const std::int8_t* q, std::size_t groups, std::size_t len,
                             const f16* scale, float* y) {
  const bool stream = past_caches(groups * len, groups * len * sizeof *y);
  if (len % 32 != 0)
    for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
      back(q, len, _cvtsh_ss(static_cast<std::uint16_t>(scale[i])), y, stream && len >= kStreamRun);
  else if (stream && aligned(y, 32))
    groups_back<true>(q, groups, len, scale, y);
  else
    groups_back<false>(q, groups, len, scale, y);
  if (stream) _mm_sfence();
}

void dequantize_s8_f16_avx2(const std::int8_t* q, std::size_t groups, std::size_t len,
                            const f16* inv, f16* y) {
  const bool stream = past_caches(groups * len, groups * len * sizeof *y) && len >= kStreamRun;
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) {
    // A product with the reciprocal rounds to the same f16 as the quotient. With q = Q, inv = I and
    // a rounding boundary M as integers of 7, 11 and 12 bits, q/inv is never on a boundary (M would
    // divide Q) and differs from it by more than 2^-23 of itself; the product is nearer than that.
    const float divisor = _cvtsh_ss(static_cast<std::uint16_t>(inv[i]));
    if (divisor == 0.0f)
      for (std::size_t j = 0; j < len; ++j) y[j] = f16(0);
    else
      back(q, len, 1.0f / divisor, y, stream);
  }
  if (stream) _mm_sfence();
}

}  // namespace qb::quantize
