// SPDX-License-Identifier: Apache-2.0
// What the AVX-512 kernels share: the largest magnitudes, of one run and of sixteen at once, the
// factors made of them, and codes from products. Non-finite input gives any result: vrangeps
// swallows NaN.
//
// In an anonymous namespace on purpose (docs/decisions/0002-odr.md).
#pragma once

#include <immintrin.h>

#include "core/budgets.h"
#include "core/turns.h"
#include "quantbench/types.h"

#if !defined(__AVX512F__) || !defined(__AVX512BW__) || !defined(__AVX512VL__) || \
    !defined(__AVX512DQ__)
#error "compile with the flags of cmake/Isa.cmake for avx512"
#endif

namespace qb {
namespace {

// ---- memory

constexpr std::size_t kLineBytes = 64;

[[maybe_unused]] inline bool at_line(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p) % kLineBytes == 0;
}

/// kStream: past the caches; p is then at a cache line.
template <bool kStream>
[[maybe_unused]] inline void store(void* p, __m512i v) {
  if constexpr (kStream)
    _mm512_stream_si512(static_cast<__m512i*>(p), v);
  else
    _mm512_storeu_si512(p, v);
}

/// The first n of 16, 32 or 64 lanes; all where n is as large or larger.
[[maybe_unused]] inline __mmask16 first16(std::size_t n) {
  return n < 16 ? __mmask16((1u << n) - 1) : __mmask16(0xffff);
}
[[maybe_unused]] inline __mmask32 first32(std::size_t n) {
  return n < 32 ? __mmask32((1u << n) - 1) : ~__mmask32{0};
}
[[maybe_unused]] inline __mmask64 first64(std::size_t n) {
  return n < 64 ? __mmask64((std::uint64_t{1} << n) - 1) : ~__mmask64{0};
}
/// How many of n elements there are from `begin` on.
[[maybe_unused]] inline std::size_t beyond(std::size_t n, std::size_t begin) {
  return n > begin ? n - begin : 0;
}

/// A load that stays where it is written. gcc would reorder the loads of a step, and the
/// prefetchers of a Zen 4 would not see that they ascend.
[[maybe_unused]] inline __m512i load_in_order(const void* p) {
  __m512i v = _mm512_loadu_si512(p);
  __asm__ volatile("" : "+v"(v));
  return v;
}

/// One float in all lanes, as an integer: a Zen 4 takes half a load for vpbroadcastd, but a whole
/// one and a shuffle for vbroadcastss.
[[maybe_unused]] inline __m512 broadcast(const float* p) {
  std::int32_t bits;
  __builtin_memcpy(&bits, p, sizeof bits);
  return _mm512_castsi512_ps(_mm512_set1_epi32(bits));
}

// ---- f16 of one value

[[maybe_unused]] inline std::uint16_t narrowed(float v) {  // clang's _cvtss_sh warns
  return std::uint16_t(_mm_cvtsi128_si32(_mm_cvtps_ph(_mm_set_ss(v), _MM_FROUND_TO_NEAREST_INT)));
}
[[maybe_unused]] inline float widened(f16 h) { return _cvtsh_ss(static_cast<std::uint16_t>(h)); }

// ---- the largest magnitude

/// The larger magnitude of each lane; of a NaN and a number the number.
[[maybe_unused]] inline __m512 larger(__m512 a, __m512 b) { return _mm512_range_ps(a, b, 0xb); }
/// The value of larger magnitude of each lane, with its sign.
[[maybe_unused]] inline __m512 larger_signed(__m512 a, __m512 b) {
  return _mm512_range_ps(a, b, 0x7);
}
/// `larger` of values without a sign, as integers: integer maxima have more pipes.
[[maybe_unused]] inline __m512 greater(__m512 a, __m512 b) {
  return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}

/// Reduces four registers to one with `op`: each quarter of the result has lanes a, b, c, d, one
/// for each register. A transpose that keeps only the extremes, in two steps that each join two
/// registers in one.
template <class Op>
[[maybe_unused]] inline __m512 reduce4(__m512 a, __m512 b, __m512 c, __m512 d, Op op) {
  const auto pd = [](__m512 v) { return _mm512_castps_pd(v); };
  const __m512 ab = op(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));  // abab
  const __m512 cd = op(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  return op(_mm512_castpd_ps(_mm512_unpacklo_pd(pd(ab), pd(cd))),
            _mm512_castpd_ps(_mm512_unpackhi_pd(pd(ab), pd(cd))));
}
/// Joins four results of reduce4: lane i is `op` over the lanes of register i of sixteen.
template <class Op>
[[maybe_unused]] inline __m512 reduce16(const __m512 (&four)[4], Op op) {
  const auto halves = [op](__m512 a, __m512 b) {  // abcd abcd efgh efgh
    return op(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  };
  const __m512 low = halves(four[0], four[1]), high = halves(four[2], four[3]);
  return op(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}

template <class Op>
[[maybe_unused]] inline __m512 reduce16(const __m512 (&g)[16], Op op) {
  const __m512 four[4] = {reduce4(g[0], g[1], g[2], g[3], op), reduce4(g[4], g[5], g[6], g[7], op),
                          reduce4(g[8], g[9], g[10], g[11], op),
                          reduce4(g[12], g[13], g[14], g[15], op)};
  return reduce16(four, op);
}

/// Absmax of four consecutive runs of kLen elements, in each quarter.
template <std::size_t kLen>
[[maybe_unused]] inline __attribute__((always_inline)) __m512 absmax_of_4(const float* x) {
  __m512 g[4];
#pragma GCC unroll 4
  for (std::size_t i = 0; i < 4; ++i) {
    const auto pair = [=](std::size_t j) {
      return larger(_mm512_castsi512_ps(load_in_order(x + i * kLen + j)),
                    _mm512_loadu_ps(x + i * kLen + j + 16));
    };
    g[i] = pair(0);
    for (std::size_t j = 32; j < kLen; j += 32) g[i] = greater(g[i], pair(j));
  }
  return reduce4(g[0], g[1], g[2], g[3], greater);
}

/// The pipeline of both passes over groups of kLen elements, a multiple of 16 groups:
///
///   first(x)               maxima of four groups at x, reduced to one set of registers
///   reduce(...)            joins such sets to a vector with a lane for each of sixteen groups
///   factors(g, v, n)       the divisions: factors of groups g to g+n-1 from the first n lanes of v
///   codes(g, factor, x)    encodes groups g to g+3 at x
///
/// Software pipeline: while groups g to g+15 are encoded, the maxima and factors of the next
/// sixteen are computed, a part of them after every four groups. This hides the latency of the
/// chain of loads, tree and division. A core retires in order: behind a whole chain in one place it
/// would run out of registers.
///
/// kFar: x comes from memory. The first pass then does not run ahead, which is slower there on a
/// Zen 4, and 2 KiB are encoded at a time.
template <std::size_t kLen, bool kFar, class First, class Reduce, class Factors, class Codes>
[[maybe_unused]] inline __attribute__((always_inline)) void in_two_passes(
    const float* x, std::size_t groups, First first, Reduce reduce, Factors factors, Codes codes) {
  using Four = decltype(first(x));
  constexpr std::size_t kFour = 4 * kLen;
  alignas(64) float factor[32];
  if constexpr (kFar) {
    constexpr std::size_t kFours = kLen < 128 ? 128 / kLen : 1;
    for_turns<4 * kFours>(groups, [&](std::size_t g) {
      const float* const from = x + g * kLen;
      Four four[4];
#pragma GCC unroll 4
      for (std::size_t i = 0; i < 4; ++i)
        four[i] = i < kFours ? first(from + i * kFour) : four[i % kFours];
      _mm512_store_ps(factor, factors(g, reduce(four), 4 * kFours));
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kFours; ++i) codes(g + 4 * i, factor + 4 * i, from + i * kFour);
    });
  } else {
    // Fours of groups that the first pass is ahead; long groups need less.
    constexpr std::size_t kAhead = kLen == 32 ? 7 : kLen == 64 ? 6 : 5, kReduce = 8 - kAhead;
    const float* const last = x + (groups - 4) * kLen;
    const auto first_at = [=](const float* p) { return first(p < last ? p : last); };
    Four four[4];
    for (std::size_t i = 0; i < 4; ++i) four[i] = first(x + i * kFour);
    _mm512_store_ps(factor, factors(0, reduce(four), 16));
    for (std::size_t i = 4; i < kAhead; ++i) four[i % 4] = first_at(x + i * kFour);
    __m512 sixteen = _mm512_setzero_ps();
    for (std::size_t g = 0; g < groups; g += 16) {
#pragma GCC unroll 4
      for (std::size_t i = 0; i < 4; ++i, x += kFour) {
        if (g + 16 < groups) {
          if (i == kReduce) sixteen = reduce(four);
          if (i == 3) _mm512_store_ps(factor + (g + 16) % 32, factors(g + 16, sixteen, 16));
          const float* const ahead = x + kAhead * kFour;
          four[(i + kAhead) % 4] = first_at(ahead);
          for (std::size_t line = 0; line < kFour; line += kLineBytes / sizeof *x)
            __builtin_prefetch(reinterpret_cast<const char*>(ahead + line) +
                               Avx512Budget::kTwoPassesAhead);
        }
        codes(g + 4 * i, factor + g % 32 + 4 * i, x);
      }
    }
  }
}

/// Absmax of one run: eight vectors a step are reduced to four accumulators in a tree.
[[maybe_unused, gnu::noinline]] float absmax_of_1(const float* x, std::size_t len) {
  const auto load = [](const float* p) { return _mm512_loadu_ps(p); };
  __m512 a[4];
  for (auto& v : a) v = _mm512_setzero_ps();
  std::size_t j = 0;
  if (len * sizeof *x >= kStreamBytes) {
    const FarMaxima far = far_maxima(x, len);
    a[0] = _mm512_castsi512_ps(_mm512_zextsi256_si512(far.most));
    j = far.done;
  }
  for (; j + 128 <= len; j += 128)
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      const float* const p = x + j + 32 * i;
      a[i] = greater(a[i], larger(_mm512_castsi512_ps(load_in_order(p)), load(p + 16)));
    }
  for (; j < len; j += 16) a[0] = larger(a[0], _mm512_maskz_loadu_ps(first16(len - j), x + j));
  const __m512 v = greater(greater(a[0], a[1]), greater(a[2], a[3]));
  const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ps(m, _mm_movehdup_ps(m)));
}

/// The same of binary16, on the bits with the sign cleared.
[[maybe_unused, gnu::noinline]] float absmax_of_1(const f16* x, std::size_t len) {
  const auto magnitude = [](__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi16(0x7fff)); };
  const auto load = [=](const f16* p) { return magnitude(_mm512_loadu_si512(p)); };
  __m512i a[4];
  for (auto& v : a) v = _mm512_setzero_si512();
  std::size_t j = 0;
  if (len * sizeof *x >= kStreamBytes) {
    const FarMaxima far = far_maxima(x, len);
    a[0] = _mm512_zextsi256_si512(far.most);
    j = far.done;
  }
  for (; j + 256 <= len; j += 256)
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
      const f16* const p = x + j + 64 * i;
      a[i] = _mm512_max_epu16(a[i], _mm512_max_epu16(magnitude(load_in_order(p)), load(p + 32)));
    }
  for (; j < len; j += 32)
    a[0] = _mm512_max_epu16(a[0], magnitude(_mm512_maskz_loadu_epi16(first32(len - j), x + j)));
  const __m512i v = _mm512_max_epu16(_mm512_max_epu16(a[0], a[1]), _mm512_max_epu16(a[2], a[3]));
  const __m256i h = _mm256_max_epu16(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
  const __m128i m = _mm_max_epu16(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
  // vphminposuw is the only horizontal word reduction: a minimum, so complement.
  const __m128i least = _mm_minpos_epu16(_mm_xor_si128(m, _mm_set1_epi16(-1)));
  return _cvtsh_ss(std::uint16_t(~_mm_cvtsi128_si32(least)));
}

// ---- factors and scales

/// inv and scale of sixteen groups; both 0 where inv is not finite, as in a group of zeros.
struct Factors16 {
  __m512 inv, scale;
  Factors16(__m512 largest, float most) {
    const __m512 qmax = _mm512_set1_ps(most);
    const __m512 quotient = _mm512_div_ps(qmax, largest);
    const __mmask16 finite =
        _mm512_cmp_ps_mask(quotient, _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    inv = _mm512_maskz_mov_ps(finite, quotient);
    scale = _mm512_maskz_div_ps(finite, largest, qmax);
  }
};

/// Of one group.
struct Factors {
  float inv, scale;
  Factors(float largest, float most) : inv(most / largest) {
    if (!(inv <= 0x1.fffffep127f)) inv = 0.0f;
    scale = inv != 0.0f ? largest / most : 0.0f;
  }
};

/// The notebook's inverse scale: f16, and never an infinity.
[[maybe_unused]] inline f16 half_inverse(float largest, float most) {
  const float inv = most / largest;
  return f16(narrowed(largest == 0.0f ? 0.0f : inv < 65504.0f ? inv : 65504.0f));
}

/// The first n of v.
[[maybe_unused]] inline void put_scales(float* to, __m512 v, std::size_t n) {
  if (n == 16)
    _mm512_storeu_ps(to, v);
  else
    _mm512_mask_storeu_ps(to, first16(n), v);
}
[[maybe_unused]] inline void put_scales(f16* to, __m512 v, std::size_t n) {
  const __m256i halves = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
  if (n == 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), halves);
  else
    _mm256_mask_storeu_epi16(to, first16(n), halves);
}
[[maybe_unused]] inline void put_scale(float* to, float v) { *to = v; }
[[maybe_unused]] inline void put_scale(f16* to, float v) { *to = f16(narrowed(v)); }

// ---- codes: products rounded to integers

struct HalfToEven {
  static __m512i code(__m512 x, __m512 inv) { return _mm512_cvtps_epi32(_mm512_mul_ps(x, inv)); }
};

/// The rounding of q8_0, |v| <= 127.5. Adding the float *below* one half lifts exact halves to the
/// next integer (the sum rounds) and nothing under them.
struct HalfAway {
  static __m512i round(__m512 v) {
    const __m512i sign = _mm512_set1_epi32(std::int32_t(0x80000000u));
    const __m512i half = _mm512_castps_si512(_mm512_set1_ps(0x1.fffffep-2f));
    // 0xea: (v & sign) | half
    const __m512i lift = _mm512_ternarylogic_epi32(_mm512_castps_si512(v), sign, half, 0xea);
    return _mm512_cvttps_epi32(_mm512_add_ps(v, _mm512_castsi512_ps(lift)));
  }
  static __m512i code(__m512 x, __m512 inv) { return round(_mm512_mul_ps(x, inv)); }
};

/// The notebook's rounding, of f16 values: to f16 first. The product has 22 bits at most, so it is
/// exact, and so is 2^13 times the product. The sum of the two keeps the product's 11 leading bits,
/// ties to even, because the last bits of the larger one are zeros. (A sum that carries into the
/// next power of two keeps ten bits; the lost one rounds to that power either way.) Below f16's
/// normal numbers the sum keeps more than f16 would, but the code is 0 there.
struct ThroughF16 {
  static __m512i code(__m512 x, __m512 inv) {
    const __m512 large = _mm512_mul_ps(x, _mm512_mul_ps(inv, _mm512_set1_ps(0x1p13f)));
    return _mm512_cvtps_epi32(_mm512_sub_ps(_mm512_fmadd_ps(x, inv, large), large));
  }
};

/// 64 bytes in order. The packs work within quarters and leave four bytes of each register there.
[[maybe_unused]] inline __m512i in_order(__m512i packed) {
  return _mm512_permutexvar_epi32(
      _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
}
/// 64 integers as bytes, in order.
[[maybe_unused]] inline __m512i narrow64(__m512i a, __m512i b, __m512i c, __m512i d) {
  return in_order(_mm512_packs_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d)));
}

[[maybe_unused]] inline __m512 load16(const float* x) { return _mm512_loadu_ps(x); }
[[maybe_unused]] inline __m512 load16(const f16* x) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)));
}
/// The first n, zeros behind them; n may be 16 or more.
[[maybe_unused]] inline __m512 load16(const float* x, std::size_t n) {
  return _mm512_maskz_loadu_ps(first16(n), x);
}
[[maybe_unused]] inline __m512 load16(const f16* x, std::size_t n) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first16(n), x));
}
/// The first n of 64, zeros behind them.
[[maybe_unused]] inline void load64(const float* x, std::size_t n, __m512 (&v)[4]) {
  for (std::size_t i = 0; i < 4; ++i)
    v[i] = n >= 64 ? load16(x + 16 * i) : load16(x + 16 * i, beyond(n, 16 * i));
}

}  // namespace
}  // namespace qb
