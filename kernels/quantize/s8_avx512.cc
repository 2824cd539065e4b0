// SPDX-License-Identifier: Apache-2.0
// s8, AVX-512. What binds each loop in the first-level cache; from the second outward it is memory.
//
//   groups             The vector pipes. Sixteen maxima are reduced by one transpose tree into one
//                      vector, lane i for group i, so that one division serves them all: 61
//                      operations for sixteen groups of 32, 30 of them shuffles. Then vmulps and
//                      vcvtps2dq a vector, and four operations pack four vectors. A Zen 4 has each
//                      of these on two of four 256-bit pipes (unpacking on three), but integer
//                      maxima and logic on all four: 20 half operations for 32 elements, 5 cycles
//                      at best. Loads (each vector twice, each factor once) take 4.5 cycles.
//                      What is lost besides is the latency of a chain that the CPU can't run past:
//                      in_two_passes (core/avx512.h) cuts the chain into pieces.
//   back to f32        vpmovsxbd, vcvtdq2ps and vmulps for sixteen values: 1.5 cycles, where the
//                      store takes one.
//   f16 in             Five operations a vector, two of them to round to f16: 14 half operations
//                      for sixteen elements on a Zen 4, where vcvtph2ps is four: 3.5 cycles and the
//                      absmax.
//   f16 back, long     The 128 results by magnitude in four registers, two vpermt2w for 32 of them:
//                      8 cycles for 64 on a Zen 4. By arithmetic it would be 14.5, since vcvtps2ph
//                      is four half operations.
//
// llvm-mca for Sapphire Rapids, whose model has one port for 512-bit floats where the CPU has two:
// sixteen groups of 32 take 31 cycles for the maxima and 64 for the codes, 64 values back 8.
//
// No clip is written: |x| <= absmax makes |x*inv| at most 127 and two roundings, which is 127 after
// rounding to an integer. (Input that is not finite gives unspecified codes.)
#include "quantize/s8_avx512.h"

#include "quantize/kernels.h"

namespace qb::quantize {
namespace {

// ---- codes

/// 64 codes in order, the first 32 by `a`, the others by `b`.
template <class Rounding, class T>
inline __m512i codes64(const T* x, __m512 a, __m512 b) {
  const auto words = [=](std::size_t j, __m512 inv) { return Rounding::code(load16(x + j), inv); };
  return narrow64(words(0, a), words(16, a), words(32, b), words(48, b));
}

template <class Rounding, bool kStream, class T>
inline void whole_codes(const T* x, std::size_t n, __m512 inv, std::int8_t* q) {
  for (std::size_t j = 0; j + 64 <= n; j += 64)
    store<kStream>(q + j, codes64<Rounding>(x + j, inv, inv));
}

/// Codes of one run. A tail is done by the last whole vector once more, at the very end.
template <class Rounding, class T>
[[gnu::noinline]] void codes(const T* x, std::size_t len, float factor, std::int8_t* q,
                             bool stream) {
  const __m512 inv = _mm512_set1_ps(factor);
  if (len < 64) return some_codes<Rounding>(x, len, inv, q);
  const std::size_t head = -reinterpret_cast<std::uintptr_t>(q) % kLineBytes;
  if (stream && len >= head) {
    some_codes<Rounding>(x, head, inv, q);
    whole_codes<Rounding, true>(x + head, len - head, inv, q + head);
  } else {
    whole_codes<Rounding, false>(x, len, inv, q);
  }
  if (len % 64 || head) store<false>(q + len - 64, codes64<Rounding>(x + len - 64, inv, inv));
}

// ---- groups

template <std::size_t kLen, bool kStream, class S>
[[gnu::noinline]] void groups_of(const float* x, std::size_t groups, std::int8_t* q, S* scale) {
  constexpr std::size_t kPerStep = kLen == 32 ? 2 : 1;  // groups in 64 elements, or one of several
  in_two_passes<kLen, kStream>(
      x, groups, [](const float* from) { return absmax_of_4<kLen>(from); },
      [](const __m512(&four)[4]) { return reduce16(four, greater); },
      [=](std::size_t g, __m512 largest, std::size_t n) {
        const Factors16 factors(largest, kMost);
        put_scales(scale + g, factors.scale, n);
        return factors.inv;
      },
      [=](std::size_t g, const float* factor, const float* from) {
        std::int8_t* to = q + g * kLen;
#pragma GCC unroll 4
        for (std::size_t i = 0; i < 4; i += kPerStep) {
          const __m512 a = broadcast(factor + i), b = broadcast(factor + i + kPerStep - 1);
          for (std::size_t j = 0; j < kPerStep * kLen; j += 64, from += 64, to += 64)
            store<kStream>(to, codes64<HalfToEven>(from, a, b));
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
  std::size_t done = groups / 16 * 16;
  if (done && len == 32)
    groups_of<32>(x, done, q, scale, stream && at_line(q));
  else if (done && len == 64)
    groups_of<64>(x, done, q, scale, stream && at_line(q));
  else if (done && len == 128)
    groups_of<128>(x, done, q, scale, stream && at_line(q));
  else
    done = 0;
  for (std::size_t i = done; i < groups; ++i) {
    const float* const group = x + i * len;
    const Factors factors(absmax_of_1(group, len), kMost);
    put_scale(scale + i, factors.scale);
    codes<HalfToEven>(group, len, factors.inv, q + i * len, stream && len >= kStreamRun);
  }
  if (stream) _mm_sfence();
}

// ---- back

inline void put_some(float* y, std::size_t n, __m512 v) { _mm512_mask_storeu_ps(y, first16(n), v); }
inline void put_some(f16* y, std::size_t n, __m512 v) {
  _mm256_mask_storeu_epi16(y, first16(n), halves(v));
}

/// Any number, sixteen at a time.
template <class Y>
inline void some_back(const std::int8_t* q, std::size_t n, __m512 scale, Y* y) {
  for (std::size_t j = 0; j < n; j += 16)
    put_some(y + j, n - j, product16(_mm_maskz_loadu_epi8(first16(n - j), q + j), scale));
}

template <bool kStream, class Y>
inline std::size_t whole_back(const std::int8_t* q, std::size_t n, __m512 scale, Y* y) {
  std::size_t j = 0;
  for (; j + 64 <= n; j += 64) {
    back32<kStream>(q + j, scale, y + j);
    back32<kStream>(q + j + 32, scale, y + j + 32);
  }
  return j;
}

template <class Y>
inline void back(const std::int8_t* q, std::size_t len, float factor, Y* y, bool stream) {
  const __m512 scale = _mm512_set1_ps(factor);
  const std::size_t head = -reinterpret_cast<std::uintptr_t>(y) % kLineBytes / sizeof *y;
  std::size_t j = 0;
  if (stream && len >= head) {
    some_back(q, head, scale, y);
    j = head + whole_back<true>(q + head, len - head, scale, y + head);
  } else {
    j = whole_back<false>(q, len, scale, y);
  }
  some_back(q + j, len - j, scale, y + j);
}

// ---- a long run back to f16, by table

/// From this length on making the table pays.
constexpr std::size_t kLongHalf = 512;

/// The results of the magnitudes 0 to 127.
struct HalfTable {
  __m512i of[4];
  explicit HalfTable(float factor) {
    alignas(64) std::int8_t codes[128];
    for (int i = 0; i < 128; ++i) codes[i] = std::int8_t(i);
    for (int i = 0; i < 4; ++i) {
      f16 results[32];
      back32<false>(codes + 32 * i, _mm512_set1_ps(factor), results);
      of[i] = _mm512_loadu_si512(results);
    }
  }
  /// Of words that have a code in their high byte and its magnitude in the low one.
  __m512i operator()(__m512i words) const {
    const __m512i low = _mm512_permutex2var_epi16(of[0], words, of[1]);
    const __m512i high = _mm512_permutex2var_epi16(of[2], words, of[3]);
    const __mmask32 is_high = _mm512_test_epi16_mask(words, _mm512_set1_epi16(64));
    const __m512i sign = _mm512_set1_epi16(std::int16_t(-0x8000));
    // 0xea: (words & sign) | result
    return _mm512_ternarylogic_epi32(words, sign, _mm512_mask_blend_epi16(is_high, low, high),
                                     0xea);
  }
};

/// Whole 64s of n, and whether -128 is among their codes: then the results are wrong.
template <bool kStream>
inline bool lookup(const std::int8_t* q, std::size_t n, const HalfTable& table, f16* y) {
  // Eighths 0-3 into the low halves of the quarters: unpacking works within those.
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
  __m512i most = _mm512_setzero_si512();
  for (std::size_t j = 0; j + 64 <= n; j += 64) {
    const __m512i codes = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(q + j));
    const __m512i magnitude = _mm512_abs_epi8(codes);
    most = _mm512_max_epu8(most, magnitude);
    store<kStream>(y + j, table(_mm512_unpacklo_epi8(magnitude, codes)));
    store<kStream>(y + j + 32, table(_mm512_unpackhi_epi8(magnitude, codes)));
  }
  return _mm512_movepi8_mask(most) != 0;
}

/// One run, divided by inv. A product with the reciprocal rounds to the same f16 as the quotient.
/// With q = Q, inv = I and a rounding boundary M as integers of 7, 11 and 12 bits, q/inv is never
/// on a boundary (M would divide Q) and differs from it by more than 2^-23 of itself; the product
/// is nearer than that.
inline void half_back(const std::int8_t* q, std::size_t len, float inv, f16* y, bool stream) {
  if (inv == 0.0f) {
    for (std::size_t j = 0; j < len; ++j) y[j] = f16(0);
    return;
  }
  const float factor = 1.0f / inv;
  if (len < kLongHalf) return back(q, len, factor, y, stream);
  const HalfTable table(factor);
  const std::size_t head = -reinterpret_cast<std::uintptr_t>(y) % kLineBytes / sizeof *y;
  back(q, head, factor, y, false);
  const std::size_t n = (len - head) / 64 * 64;
  const bool wrong = stream ? lookup<true>(q + head, n, table, y + head)
                            : lookup<false>(q + head, n, table, y + head);
  if (wrong) return back(q, len, factor, y, stream);
  back(q + head + n, len - head - n, factor, y + head + n, false);
}

template <bool kStream>
inline void groups_back(const std::int8_t* q, std::size_t groups, std::size_t len, const f16* scale,
                        float* y) {
  std::size_t i = 0;
  for (; i + 16 <= groups; i += 16) {  // the scales of sixteen groups at once
    alignas(64) float factor[16];
    _mm512_store_ps(factor, load16(scale + i));
    for (std::size_t g = 0; g < 16; ++g) {
      const __m512 v = broadcast(factor + g);
      for (std::size_t j = 0; j < len; j += 32, q += 32, y += 32) back32<kStream>(q, v, y);
    }
  }
  for (; i < groups; ++i) {
    const __m512 v = _mm512_set1_ps(widened(scale[i]));
    for (std::size_t j = 0; j < len; j += 32, q += 32, y += 32) back32<kStream>(q, v, y);
  }
}

}  // namespace

void quantize_f32_s8_avx512(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                            float* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f32_s8g_avx512(const float* x, std::size_t groups, std::size_t len, std::int8_t* q,
                             f16* scale) {
  quantize(x, groups, len, q, scale);
}

void quantize_f16_s8_avx512(const f16* x, std::size_t groups, std::size_t len, std::int8_t* q,
                            f16* inv) {
  const bool stream = past_caches(groups * len * sizeof *x, groups * len) && len >= kStreamRun;
  for (std::size_t i = 0; i < groups; ++i, x += len, q += len) {
    inv[i] = half_inverse(absmax_of_1(x, len), kMost);
    codes<ThroughF16>(x, len, widened(inv[i]), q, stream);
  }
  if (stream) _mm_sfence();
}

void dequantize_s8_f32_avx512(const std::int8_t* q, std::size_t groups, std::size_t len,
                              const float* scale, float* y) {
  const bool stream = past_caches(groups * len, groups * len * sizeof *y) && len >= kStreamRun;
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len) back(q, len, scale[i], y, stream);
  if (stream) _mm_sfence();
}

void dequantize_s8g_f32_avx512(const std::int8_t* q, std::size_t groups, std::size_t len,
                               const f16* scale, float* y) {
  const bool stream = past_caches(groups * len, groups * len * sizeof *y);
  if (len % 32 != 0)
    for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
      back(q, len, widened(scale[i]), y, stream && len >= kStreamRun);
  else if (stream && at_line(y))
    groups_back<true>(q, groups, len, scale, y);
  else
    groups_back<false>(q, groups, len, scale, y);
  if (stream) _mm_sfence();
}

void dequantize_s8_f16_avx512(const std::int8_t* q, std::size_t groups, std::size_t len,
                              const f16* inv, f16* y) {
  const bool stream = past_caches(groups * len, groups * len * sizeof *y) && len >= kStreamRun;
  for (std::size_t i = 0; i < groups; ++i, q += len, y += len)
    half_back(q, len, widened(inv[i]), y, stream);
  if (stream) _mm_sfence();
}

}  // namespace qb::quantize
